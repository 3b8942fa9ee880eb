"""report.html: one file, no network, the same bytes for the same run folder.

The last line of the file is the run-time line, the only part that differs between reruns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simulator.analysis.course import course_of
from simulator.analysis.protocol import Answer, answer_protocol
from simulator.analysis.verdict import Verdict, judge
from simulator.evidence.reader import Evidence, read
from simulator.evidence.records import RunRecord
from simulator.number_format import counted, dollars
from simulator.report.charts import Forest
from simulator.report.drawing import MONTHS, TimeAxis, time_axis
from simulator.report.renderers.html import Section, join_scripts, list_pages, render_page
from simulator.report.sections import (
    all_figures,
    assumptions_and_notes,
    bias_checklist,
    calibration,
    comparison,
    contamination,
    costs_and_execution,
    desk_work,
    distribution,
    drawdowns,
    equity_and_trades,
    factors,
    members_and_council,
    monthly_returns,
    prices,
    profit,
    reproduce,
    rolling,
    significance,
    summary,
    trades,
    weights,
)
from simulator.report.sections.decisions import write_decisions
from simulator.report.sections.verdict import draw_interval
from simulator.report.table import Table
from simulator.store.folders import add_files

FILE = "report.html"
LARGEST = 1_990_000
"""Bytes of a page. Decisions take what the rest of it leaves, and are shortened where that is little."""

PLACE_OF_DECISIONS = "<!--debates-->"
"""Mark in the template where they go: nothing out of a run folder reaches the page with ``<`` in it."""


SCRIPTS = ("report.js", "drawer.js", "zoom.js", "sections.js", "sorting.js", "trade_table.js")
"""Files of the page's script, in the order they run; they share one scope."""


@dataclass(frozen=True)
class Report:
    """The sections of a report in the order of the page; None or empty where there is nothing to show."""

    run: RunRecord
    title: str
    facts: tuple[str, ...]
    altered: str
    axis: TimeAxis
    last: int
    verdict: Verdict
    interval: Forest | None
    tiles: tuple[summary.Tile, ...]
    comparison: comparison.ComparisonSection
    chart: equity_and_trades.EquityAndTrades
    trades: trades.Trades | None
    prices: prices.Prices | None
    profit: profit.Profit | None
    rolling: rolling.RollingSection | None
    drawdowns: drawdowns.DrawdownSection | None
    months: tuple[monthly_returns.Year, ...]
    distribution: distribution.DistributionSection | None
    holdings: tuple[weights.Holding, ...]
    significance: significance.Significance
    factors: factors.FactorSection | None
    members: members_and_council.Members
    calibration: tuple[calibration.Calibrated, ...]
    desk: desk_work.DeskSection | None
    costs: costs_and_execution.Costs
    figures: Table
    contamination: contamination.ContaminationSection | None
    assumptions: assumptions_and_notes.Assumptions
    biases: tuple[bias_checklist.Bias, ...]
    reproduce: reproduce.Reproduce
    protocol: tuple[Answer, ...]


SECTIONS = (
    Section("chart", "Chart"),
    Section("trades", "Trades", lambda report: report.trades),
    Section("prices", "Prices", lambda report: report.prices),
    Section("profit", "P&L", lambda report: report.profit),
    Section("comparison", "Comparison"),
    Section("rolling", "Rolling", lambda report: report.rolling),
    Section("drawdowns", "Drawdowns", lambda report: report.drawdowns),
    Section("monthly", "Months"),
    Section("distribution", "Distribution", lambda report: report.distribution),
    Section("weights", "Weights", lambda report: report.holdings),
    Section("significance", "Significance"),
    Section("factors", "Factors", lambda report: report.factors),
    Section("members", "Members", lambda report: any(vars(report.members).values())),
    Section("calibration", "Calibration", lambda report: report.calibration),
    Section("desk", "Desk", lambda report: report.desk),
    Section("costs", "Costs"),
    Section("figures", "Figures"),
    Section(
        "contamination",
        "Contamination",
        lambda report: (it := report.contamination) and (it.models or it.parts or it.checks),
    ),
    Section("assumptions", "Assumptions"),
    Section("biases", "Biases"),
    Section("reproduce", "Reproduce"),
    Section("protocol", "Protocol"),
)
"""Order of the page."""


def build(folder: Path, altered: str = "") -> Path:
    """Write ``folder/report.html`` from the files of a run folder and return its path; `altered` is as in `read`.

    Raises DataError when a file of the folder is missing or corrupt, SimError when the report cannot be written;
    an older report is replaced in one step or left as it was.
    """
    add_files(folder, {FILE: render(folder, altered)})
    return folder / FILE


def render(folder: Path, altered: str = "") -> bytes:
    """Return the report of a run folder as UTF-8 HTML. Nothing but the folder's content decides its bytes."""
    evidence = read(folder, altered)
    report = compose(evidence)
    script, digest = join_scripts(*SCRIPTS)
    own = {"script": script, "script_digest": digest, "runtime": reproduce.describe_runtime(evidence.runtime)}
    shown = [section for section in SECTIONS if section.shown(report)]
    names = {"name": report.run["strategy"], "headline": report.verdict.headline, "month_names": MONTHS}
    pages = list_pages("Report", evidence)
    sentences = [*filter(None, (report.verdict.returns,)), *report.verdict.details]
    page = render_page("report.html", **vars(report), **own, **names, sections=shown, sentences=sentences, pages=pages)
    decisions = write_decisions(evidence, LARGEST - len(page.encode()))
    return page.replace(PLACE_OF_DECISIONS, decisions, 1).encode()


def compose(evidence: Evidence) -> Report:
    """Return everything the page shows."""
    run, verdict = evidence.run, judge(evidence.run)
    course = course_of(evidence)
    return Report(
        run=run,
        title=f"{run['strategy']}: {run['from']} to {run['to']}{', partial' if run['partial'] else ''}",
        facts=_facts(evidence),
        altered=evidence.altered,
        axis=time_axis(evidence.sessions),
        last=len(evidence.sessions) - 1,
        verdict=verdict,
        interval=draw_interval(run, verdict),
        tiles=summary.compose(evidence),
        comparison=comparison.compose(run),
        chart=equity_and_trades.compose(evidence),
        trades=trades.compose(evidence),
        prices=prices.compose(evidence),
        profit=profit.compose(evidence),
        rolling=rolling.compose(course, evidence.sessions),
        drawdowns=drawdowns.compose(course, evidence.sessions),
        months=monthly_returns.compose(evidence),
        distribution=distribution.compose(evidence, course),
        holdings=weights.compose(evidence),
        significance=significance.compose(evidence, verdict),
        factors=factors.compose(evidence.factors and evidence.factors["regression"]),
        members=members_and_council.compose(evidence),
        calibration=calibration.compose(run),
        desk=desk_work.compose(evidence),
        costs=costs_and_execution.compose(evidence),
        figures=all_figures.tabulate_figures(run),
        contamination=contamination.compose(evidence),
        assumptions=assumptions_and_notes.compose(evidence),
        biases=bias_checklist.compose(run),
        reproduce=reproduce.compose(run),
        protocol=answer_protocol(evidence),
    )


def _facts(evidence: Evidence) -> tuple[str, ...]:
    run = evidence.run
    return (
        ", ".join(run["symbols"]),
        f"{run['from']} to {run['to']}",
        counted(run["sessions"], "session"),
        f"{dollars(run['cash'])} at the start",
        counted(len(evidence.decisions), "decision"),
    )
