"""All figures: the strategy and its benchmarks in the same columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.analysis.verdict import withheld
from simulator.evidence.records import RunRecord
from simulator.number_format import number_of
from simulator.report.catalogue import GROUPS, METRICS, make_metric
from simulator.report.table import Column, Group, Row, Table

BENCHMARKS = {"buy_and_hold": "Buy-and-hold", "equal_weight": "Equal-weight", "exposure_matched": "Same exposure"}
ALWAYS = ("total_return", "cagr", "volatility", "max_drawdown", "sharpe", "sharpe_interval")
ENDS = ("sharpe_ci_low", "sharpe_ci_high")


@dataclass(frozen=True)
class MetricsColumn:
    """A column: its metrics, and why some are undefined."""

    name: str
    values: Mapping[str, object]
    reasons: Mapping[str, object]


def tabulate_figures(run: RunRecord, brief: bool = False) -> Table:
    """Return every metric of the strategy and its benchmarks; keys without a name of their own come last.

    `brief` keeps the rows a terminal shows and leaves out those withheld from all columns.
    """
    accounts = [MetricsColumn(run["strategy"], {**run["inference"], **run["metrics"]}, run["reasons"])]
    for key, name in BENCHMARKS.items():
        values = run["benchmarks"].get(key)
        if values is not None or key != "exposure_matched":
            reasons = (values or {}).get("reasons")
            accounts.append(MetricsColumn(name, values or {}, reasons if isinstance(reasons, Mapping) else {}))
    short = withheld(run)
    names = {*METRICS, *ENDS, *run["inference"]}
    further = [k for k, v in run["metrics"].items() if k not in names and (v is None or number_of(v) is not None)]
    groups = []
    for title, metrics in {**GROUPS, "Further figures": tuple(map(make_metric, further))}.items():
        shown = [m for m in metrics if m.key in ALWAYS or any(m.key in account.values for account in accounts)]
        if brief:
            shown = [m for m in shown if m.brief and not (short and m.annualised)]
        rows = tuple(
            Row(m.name, tuple(m.cell(one.values, one.reasons, short) for one in accounts), m.help) for m in shown
        )
        if rows:
            groups.append(Group(title, rows))
    title, css = ("Comparison table", "comparison brief") if brief else ("Table of all figures", "comparison whole")
    columns = tuple(Column(account.name) for account in accounts)
    return Table(title, columns, tuple(groups), reasons="footnotes", css=css)
