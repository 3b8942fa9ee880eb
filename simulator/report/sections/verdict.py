"""Verdict: the interval it rests on. The sentence itself is that of `simulator.analysis.verdict`."""

from __future__ import annotations

from simulator.analysis.verdict import Verdict, complete, inferred, part_after_cutoff, withheld
from simulator.evidence.records import RunRecord
from simulator.number_format import number_of
from simulator.report.charts import Forest, draw_intervals
from simulator.report.sections.equity_and_trades import BENCHMARKS


def draw_sharpe_interval(run: RunRecord, verdict: Verdict) -> Forest | None:
    """Return the interval of the Sharpe ratio beside zero and the benchmarks' Sharpe ratios.

    None when withheld, undefined, or not the point (nothing held, everything lost). Benchmarks are those of all
    sessions, so that they are left out where only those after the models' cut-off are judged.
    """
    part = part_after_cutoff(run)
    if part is None or verdict.settled or withheld(run):
        return None
    sharpe, low, high = (inferred(part, key) for key in ("sharpe", "sharpe_ci_low", "sharpe_ci_high"))
    if sharpe is None or low is None or high is None:
        return None
    marks = []
    for key, (css, label) in BENCHMARKS.items() if complete(run, part) else ():
        value = number_of(run["benchmarks"].get(key, {}).get("sharpe"))
        if value is not None:
            marks.append((label, css, value))
    row = ("Sharpe ratio", "strategy", sharpe, low, high)
    return draw_intervals([row], verdict.headline, name="Sharpe ratio", marks=marks)
