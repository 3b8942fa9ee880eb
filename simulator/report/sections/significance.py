"""Significance: how far the Sharpe ratio can be trusted, and whether it differs from the benchmarks'."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.analysis.paired import against_benchmarks
from simulator.analysis.verdict import FEWEST_SESSIONS, Verdict, part_after_cutoff, withheld
from simulator.evidence.reader import Evidence
from simulator.evidence.records import RunRecord
from simulator.number_format import UNDEFINED, interval, p_value, percent, ratio, rough_percent, signed_ratio
from simulator.report.catalogue import METRICS, SIGNIFICANCE, SKILL
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table

FIRST = tuple(METRICS[key].name for key in ("sharpe_p_hac", "detectable_sharpe", "min_trl", "max_drawdown_band"))
"""Names of the figures shown first, those that say most to a reader who knows none of them."""

MAIN = 4
"""Figures that are shown at once, the others on demand."""


@dataclass(frozen=True)
class Significance:
    """`figures` of the Sharpe ratio, none for short runs, the `main` ones first; `origin` of the return; `paired`
    against the benchmarks; `timing`: was tested."""

    figures: Table
    main: int
    origin: Table | None
    paired: Table | None
    timing: bool


def compose(evidence: Evidence, verdict: Verdict) -> Significance:
    """Return the section; nothing is paired where no test is needed."""
    paired = None if verdict.settled else tabulate_differences(evidence)
    run = evidence.run
    return Significance(tabulate_significance(run), MAIN, tabulate_origin(run), paired, "timing_p" in run["inference"])


def tabulate_significance(run: RunRecord) -> Table:
    """Return what is inferred of the strategy's Sharpe ratio beyond its interval."""
    inference = run["inference"]
    shown = [metric for metric in SIGNIFICANCE if metric.key in inference and not withheld(run)]
    rows = [Row(metric.name, (metric.cell(inference, run["reasons"]),), metric.help) for metric in shown]
    band, median = METRICS["max_drawdown_band"], rough_percent(inference.get("max_drawdown_50"))
    if rows and UNDEFINED not in (band.write(inference), median):
        rows.append(Row(band.name, (band.cell(inference, run["reasons"]),), f"{band.help}, median {median}"))
    first = [row for name in FIRST for row in rows if row.label == name]
    return make_table("Significance", ("Value",), first + [row for row in rows if row not in first])


def tabulate_origin(run: RunRecord) -> Table | None:
    """Return the mean excess return of the judged sessions in parts; None for short runs and without positions."""
    part = part_after_cutoff(run)
    skill = None if part is None else part.get("skill")
    if skill is None or skill["excess"] is None or skill["sessions"] < FEWEST_SESSIONS:
        return None
    values = {**skill, "usual_exposure": skill["exposure"]}
    bounds = {"beyond": interval(skill["beyond_low"], skill["beyond_high"], percent)}
    rows = [Row(one.name, (one.cell(values, {}), Cell(bounds.get(one.key, ""))), one.help) for one in SKILL]
    return make_table("Where the return over cash came from", ("A year", "95\u00a0% interval"), rows)


def tabulate_differences(evidence: Evidence) -> Table | None:
    """Return the run's Sharpe ratio less each benchmark's, on the same sessions; None where none can be compared."""
    rows = [
        make_row(
            one.label,
            (
                signed_ratio(one.difference),
                interval(one.low, one.high),
                p_value(one.p),
                ratio(one.detectable),
                one.why or one.verdict,
            ),
        )
        for one in against_benchmarks(evidence.run, evidence.equity)
    ]
    columns = ("Sharpe less its", "95\u00a0% interval", "p", "Detectable", Column("Verdict", words=True))
    title = "Against the benchmarks, session by session"
    return make_table(title, columns, rows, corner="Benchmark") if rows else None
