"""Costs and execution: the same decisions at other costs and at other moments, and what became of the orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

from simulator.analysis.verdict import describe_memory, withheld
from simulator.evidence.reader import Evidence
from simulator.evidence.records import RunRecord
from simulator.evidence.row_table import column_of
from simulator.number_format import UNDEFINED, cents, dollars, percent, signed_ratio, whole
from simulator.report.catalogue import METRICS, SHARPE_INTERVAL, WITHHELD
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table
from simulator.trading.model import Rejection


class Refusal(NamedTuple):
    """Orders rejected or trimmed by one rule: how often, for which symbols, when, and the share carried out."""

    rule: str
    times: str
    symbols: str
    when: str
    carried_out: str


@dataclass(frozen=True)
class Orders:
    """Orders by their outcome; `statuses` and `ways` (of filling) are (words, count)."""

    total: int
    statuses: tuple[tuple[str, int], ...]
    ways: tuple[tuple[str, int], ...]
    slippage: str
    commission: str
    refused: tuple[Refusal, ...]
    decisions: int
    cut: int


@dataclass(frozen=True)
class Costs:
    """Tables are None where nothing was tried; `memory` is a word on sessions that models may remember."""

    costs: Table | None
    toggles: Table | None
    orders: Orders
    refused: Table | None
    memory: str


def compose(evidence: Evidence) -> Costs:
    """Return the section."""
    orders = count_orders(evidence)
    run = evidence.run
    return Costs(tabulate_costs(run), tabulate_toggles(run), orders, _tabulate_refusals(orders), describe_memory(run))


def tabulate_costs(run: RunRecord) -> Table | None:
    """Return the run at multiples of the stated costs."""
    metrics = [METRICS[key] for key in ("total_return", "cagr", "sharpe", "max_drawdown")]
    rows = []
    for entry in run["cost_sensitivity"]:
        stated = entry["multiple"] == 1
        cells = [metric.cell(entry["metrics"], {}, withheld(run)) for metric in metrics]
        paid = Cell(dollars(entry["costs_paid"]), value=entry["costs_paid"])
        hint, css = ("as stated", "chosen") if stated else ("", "")
        rows.append(Row(f"{entry['multiple']:g}×", (paid, *cells), hint, css))
    columns = ("Costs paid", "Total return", "Growth a year", "Sharpe", "Largest drawdown")
    return make_table("Cost sensitivity", columns, rows, corner="Costs") if rows else None


def tabulate_toggles(run: RunRecord) -> Table | None:
    """Return the decisions of the run, filled at other moments."""
    short, rows = withheld(run), []
    for entry in run["execution_toggles"]:
        values = {
            **entry["metrics"],
            "sharpe_ci_low": entry["sharpe_ci_low"],
            "sharpe_ci_high": entry["sharpe_ci_high"],
        }
        total, sharpe, fall = (
            METRICS[key].cell(values, entry["reasons"], short) for key in ("total_return", "sharpe", "max_drawdown")
        )
        less = Cell(WITHHELD if short else signed_ratio(entry["sharpe_less_default"]))
        cells = (total, sharpe, SHARPE_INTERVAL.cell(values, entry["reasons"], short), less, fall)
        rows.append(Row(entry["name"], cells, entry["what"], "chosen" if entry["default"] else ""))
    columns = ("Total return", "Sharpe", "95\u00a0% interval", "Sharpe less the default", "Largest drawdown")
    title = "The same decisions, filled otherwise"
    return make_table(title, columns, rows, corner="Filled at") if rows else None


def count_orders(evidence: Evidence) -> Orders:
    """Return orders, fills and refusals, counted."""
    return Orders(
        total=len(evidence.orders),
        statuses=_count(column_of(evidence.orders, "status")),
        ways=_count(column_of(evidence.fills, "why")),
        slippage=cents(fsum(column_of(evidence.fills, "slippage"))),
        commission=cents(fsum(column_of(evidence.fills, "commission"))),
        refused=_gather_refusals(evidence.rejected),
        decisions=len(evidence.decisions),
        cut=sum(1 for decision in evidence.decisions if decision["cuts"]),
    )


def _words(text: str) -> str:
    return text.replace("_", " ") or "unnamed"


def _count(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(map(_words, words)).items(), key=lambda pair: (-pair[1], pair[0])))


def _gather_refusals(rows: Sequence[Rejection]) -> tuple[Refusal, ...]:
    found = []
    columns = [column_of(rows, name) for name in ("symbol", "wanted", "got")]
    by_rule: dict[str, list[int]] = {}
    for n, why in enumerate(column_of(rows, "why")):
        by_rule.setdefault(_words(why), []).append(n)
    for rule, mine in sorted(by_rule.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        count, first, last = len(mine), rows[mine[0]].session, rows[mine[-1]].session
        of_symbols, of_wanted, of_got = ([column[n] for n in mine] for column in columns)
        symbols = list(dict.fromkeys(of_symbols))
        named = ", ".join(symbols[:4]) + (f" and {len(symbols) - 4} more" if len(symbols) > 4 else "")
        span = str(first) if count == 1 else f"{first} to {last}"
        wanted, got = fsum(map(abs, of_wanted)), fsum(map(abs, of_got))
        found.append(Refusal(rule, whole(count), named, span, percent(got / wanted) if wanted > 0 else UNDEFINED))
    return tuple(found)


def _tabulate_refusals(orders: Orders) -> Table | None:
    rows = [make_row(one.rule, (one.times, one.carried_out, one.symbols, one.when)) for one in orders.refused]
    columns = ("Times", "Carried out", Column("Symbols", words=True), Column("When", words=True))
    return make_table("Rejected or trimmed", columns, rows, corner="Rule") if rows else None
