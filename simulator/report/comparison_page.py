"""The page of a comparison: one file, no network, in the style of a run's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from simulator.analysis.compare import Comparison, LabelledRun
from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.errors import SimError
from simulator.files import write_file
from simulator.number_format import number_of, p_value, percent, ratio, sessions_needed, signed_percent
from simulator.report import comparison, drawing
from simulator.report.catalogue import METRICS
from simulator.report.charts import Chart, Curve, Forest, Key, draw_growth, draw_intervals, span, speak, spell
from simulator.report.comparison import CURVES
from simulator.report.drawing import Frame, Layer
from simulator.report.renderers.html import list_pages, render_page
from simulator.store.folders import json_bytes, write_folder

FILE = "comparison.html"
BASE = 100.0


def render_comparison(
    facts: Comparison, runs: Sequence[LabelledRun], days: Sequence[date], links: Mapping[str, str] | None = None
) -> bytes:
    """Return the page as UTF-8 HTML; the same bytes for the same facts. `days` are the sessions all runs have, `links`
    the addresses of reports by run id, None for a page that does not lie among the runs."""
    verdict = comparison.judge_comparison(facts)
    curves = [
        Curve(css, one.label, np.asarray(BASE * np.cumprod(np.r_[1.0, 1.0 + one.on(days)[0]]), dtype=np.float64))
        for css, one in zip(CURVES, runs, strict=False)
    ]
    names = list(dict.fromkeys(run["strategy"] for run in facts["runs"]))
    content = {
        "facts": facts,
        "names": names,
        "title": f"Comparison: {' and '.join(names)}",
        "headline": verdict.headline,
        "details": verdict.details,
        "parting": verdict.parting,
        "classes": CURVES,
        "links": links or {},
        "pages": () if links is None else list_pages("Comparison"),
        "interval": _draw_interval(facts, verdict.headline),
        "equity": _draw_equity(curves, days) if len(days) > 1 else None,
        "relative": _draw_lead(curves, days, facts) if len(days) > 1 and len(runs) == 2 else None,
        "axis": drawing.time_axis(days),
        "metrics": comparison.tabulate_metrics(facts),
        "metrics_note": comparison.describe_sessions(facts),
        "pairs": comparison.tabulate_pairs(facts),
        "configuration": comparison.tabulate_configuration(facts),
        "statistics": _statistics(facts),
    }
    return render_page("comparison.html", **content).encode()


def write_comparison(facts: Comparison, page: bytes, reports: Path, target: Path | None = None) -> Path:
    """Write the page to `target`, else with the facts into a folder of `reports` named after the runs; return its path.

    Raises SimError where it cannot be written.
    """
    if target is None:
        name = "-".join(["compare", *(run["run_id"] for run in facts["runs"])])
        return write_folder(reports, name, {FILE: page, "comparison.json": json_bytes(facts)}) / FILE
    if not target.parent.is_dir():
        mend = "choose another place with --html"
        raise SimError("cannot be written (No such file or directory)", where=str(target), mend=mend)
    return write_file(target, page)


def _draw_equity(curves: Sequence[Curve], days: Sequence[date]) -> Chart:
    """Return every account from 100 at the first common session."""
    panel, _ = draw_growth(curves, len(days), 320)
    keys = tuple(Key(curve.css, curve.name, signed_percent(curve.growth)) for curve in curves)
    return Chart(panel, keys, f"Equity from {BASE:.0f}, {span(days)}: {speak(keys)}")


def _draw_lead(curves: Sequence[Curve], days: Sequence[date], facts: Comparison) -> Chart | None:
    """Return A over B, less one, and a line where the first decision differs; None where B is lost."""
    one, other = curves
    if float(other.path.min()) <= 0.0:
        return None
    lead = one.path / other.path - 1.0
    low, high = drawing.bounds([lead, np.array([0.0, 0.001])])
    layers = [drawing.line("lead", lead, first=-1)]
    ahead = signed_percent(lead[-1])
    keys = [Key("lead", f"{one.name} over {other.name}", f"{ahead} at the end")]
    found = facts["pairs"][0]["diverging"]
    for at in [i for i, day in enumerate(days) if found and str(day) == found["session"]]:
        layers.insert(0, Layer("parting", "line", np.array([at - 0.5] * 2), np.array([low, high])))
        keys.append(Key("parting", "They part", spell(days[at])))
    ticks = drawing.percent_ticks(drawing.steps(low, high, 5))
    panel = drawing.draw(layers, Frame(-1, len(days) - 1, low, high, 150), ticks)
    return Chart(panel, tuple(keys), f"{one.name} over {other.name}, {span(days)}: {ahead} at the end.")


def _draw_interval(facts: Comparison, spoken: str) -> Forest | None:
    """Return the interval of the Sharpe difference beside zero; None without one, and for more than two runs."""
    pair = facts["pairs"][0]
    point, low, high = (number_of(pair["values"][key]) for key in ("sharpe_difference", "low", "high"))
    if len(facts["pairs"]) > 1 or None in (point, low, high) or pair["sessions"] < FEWEST_SESSIONS:
        return None
    name = f"Sharpe ratio of {pair['a']} less that of {pair['b']}"
    return draw_intervals([(name, "strategy", point, low, high)], spoken, name=name)


def _statistics(facts: Comparison) -> list[tuple[str, str, str]]:
    """Return (label, text, hint) of the paired statistics; only for two runs and enough sessions."""
    pair, values = facts["pairs"][0], facts["pairs"][0]["values"]
    if len(facts["pairs"]) > 1 or pair["sessions"] < FEWEST_SESSIONS or values["p"] is None:
        return []
    p, p_hac, error = METRICS["p"], METRICS["p_hac"], METRICS["se_hac"]
    detectable, correlation = METRICS["detectable_difference"], METRICS["correlation"]
    rows = [
        (error.name, ratio(values["sharpe_difference_se"]), error.help),
        ("p", p_value(values["p"]), p.help),
        (p_hac.name, p_value(values["p_hac"]), p_hac.help),
        (detectable.name, ratio(values["detectable"]), "of Sharpe ratios at this length, 80\u00a0% power"),
        (correlation.name, ratio(values["correlation"]), correlation.help),
        (
            "Paired bootstrap",
            f"{ratio(values['paired_low'])} to {ratio(values['paired_high'])}",
            "95\u00a0% interval of the Sharpe difference, stationary",
        ),
        ("Tracking error", percent(values["tracking_error"]), "a year"),
    ]
    needed = values["sessions_needed"]
    if needed is not None:
        rows.append(("Needed", sessions_needed(round(needed)), "sessions to find this difference, 80\u00a0% power"))
    return rows
