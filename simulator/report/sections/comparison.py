"""Comparison: the few figures people look for first, and how far replicates lie apart."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.analysis.unanswered import count_replicates, spread_of
from simulator.analysis.verdict import withheld
from simulator.evidence.records import RunRecord
from simulator.report.catalogue import GROUPS
from simulator.report.sections.all_figures import tabulate_figures
from simulator.report.table import Table, make_row, make_table


@dataclass(frozen=True)
class ComparisonSection:
    """`matched`: a benchmark of the same exposure is among the columns."""

    brief: Table
    replicates: Table | None
    matched: bool


def compose(run: RunRecord) -> ComparisonSection:
    """Return the section."""
    return ComparisonSection(
        tabulate_figures(run, brief=True), tabulate_replicates(run), "exposure_matched" in run["benchmarks"]
    )


def tabulate_replicates(run: RunRecord) -> Table | None:
    """Return each metric over the replicates of the run; None for a single one."""
    if count_replicates(run) == 1:
        return None
    rows = []
    for metric in (metric for metrics in GROUPS.values() for metric in metrics):
        spread = spread_of(run, metric.key)
        if spread and not (metric.annualised and withheld(run)):
            values = (run["metrics"].get(metric.key), *(spread.get(key) for key in ("mean", "min", "max", "sd")))
            rows.append(make_row(metric.name, map(metric.format, values)))
    columns = ("First", "Mean", "Lowest", "Highest", "Standard deviation")
    return make_table("How far the draws lie apart", columns, rows, css="replicates")
