"""Verdict: the interval it rests on. The sentence itself is that of `simulator.analysis.verdict`."""

from __future__ import annotations

from simulator.analysis.verdict import Verdict, complete, find_inference, part_after_cutoff, withheld
from simulator.evidence.records import RunRecord
from simulator.number_format import number_of
from simulator.report.charts import Forest, draw_intervals
from simulator.report.sections.equity_and_trades import BENCHMARKS


def draw_interval(run: RunRecord, verdict: Verdict) -> Forest | None:
    """Return the interval that the verdict is on beside zero.

    It is that of the return beyond the run's own exposure, in percent a year; where positions are not on record that of
    the Sharpe ratio, with the benchmarks' beside it: those of all sessions, so that they are left out where only those
    after the models' cut-off are judged. None when withheld, undefined, or not the point (nothing held, everything
    lost).
    """
    part = part_after_cutoff(run)
    if part is None or verdict.settled or withheld(run):
        return None
    skill = part.get("skill")
    if skill is not None:
        name = "Percent a year beyond its own exposure"
        fractions = (skill["beyond"], skill["beyond_low"], skill["beyond_high"])
        point, low, high = (None if value is None else 100 * value for value in fractions)
        return draw_intervals([(name, "strategy", point, low, high)], verdict.headline, name=name)
    sharpe, low, high = (find_inference(part, key) for key in ("sharpe", "sharpe_ci_low", "sharpe_ci_high"))
    if sharpe is None or low is None or high is None:
        return None
    marks = []
    for key, (css, label) in BENCHMARKS.items() if complete(run, part) else ():
        value = number_of(run["benchmarks"].get(key, {}).get("sharpe"))
        if value is not None:
            marks.append((label, css, value))
    row = ("Sharpe ratio", "strategy", sharpe, low, high)
    return draw_intervals([row], verdict.headline, name="Sharpe ratio", marks=marks)
