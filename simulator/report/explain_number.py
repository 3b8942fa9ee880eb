"""`sim explain RUN METRIC` for a terminal: the number, how it is worked out, and the parts it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from rich.console import Console

from simulator.analysis.explain_number import ExplainedNumber
from simulator.analysis.parts import Unit
from simulator.errors import UsageError, did_you_mean
from simulator.number_format import UNDEFINED, cents, counted, number_of, percent, ratio, whole
from simulator.report.catalogue import METRICS, Metric
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import print_paragraph, print_table
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table

PAGE = 40
"""Rows of a page."""

REST = "dividends, interest, borrowing"
"""Parts of a number that no position earned by its price."""

OTHERS = 12
"""Symbols listed by name; the rest are one row."""


@dataclass(frozen=True)
class Page:
    """Rows from `first` up to `end` of so many, and its number of how many pages."""

    first: int
    end: int
    number: int
    of: int


def find_metric(name: str) -> Metric:
    """Return the metric of that key, or name as tables have it, in any case. Raises UsageError."""
    wanted = "_".join(name.replace("\u00a0", " ").replace("-", " ").lower().split())
    for metric in METRICS.values():
        if wanted in (metric.key, "_".join(metric.name.replace("\u00a0", " ").replace("-", " ").lower().split())):
            return metric
    near = did_you_mean(wanted, METRICS)
    mend = "name a number, as sharpe, max_drawdown, alpha or hit_rate, or a date, as 2024-03-08"
    raise UsageError(f'there is no number "{name}"{near}', mend=mend)


def choose_page(rows: int, number: int | None) -> Page:
    """Return the page of that number, all rows for None. Raises UsageError for one there is not."""
    pages = max(ceil(rows / PAGE), 1)
    if number is None:
        return Page(0, rows, 1, 1)
    if not 1 <= number <= pages:
        raise UsageError(f"there is no page {number}", mend=f"pages are 1 to {pages}")
    return Page((number - 1) * PAGE, min(number * PAGE, rows), number, pages)


def write_value(found: ExplainedNumber) -> Cell:
    """Return the cell that tables show for the number."""
    return METRICS[found.metric].cell(found.values, found.reasons, found.short)


def to_json(found: ExplainedNumber) -> dict[str, object]:
    """Return all of an explained number as one object."""
    metric, cell = METRICS[found.metric], write_value(found)
    named = {"name": metric.name, "unit": metric.unit, "value": number_of(found.values.get(metric.value_key))}
    return {**named, "text": cell.text, "reason": cell.why or None, **found.to_json()}


def describe(found: ExplainedNumber) -> str:
    """Return the number in one line: ``Sharpe ratio of sma_cross: 1.17``."""
    metric, cell = METRICS[found.metric], write_value(found)
    if found.method.command:
        return metric.name
    return f"{metric.name} of {found.name}: {cell.text}{f' ({cell.why})' if cell.why else ''}"


def print_number(found: ExplainedNumber, console: Console, page: int | None = None) -> None:
    """Print the number, its formula and what it is worked out from, its parts by symbol, and one page of all parts."""
    metric = METRICS[found.metric]
    console.print(Text.assemble((describe(found), "bold"), (f"  {found.run}", "dim")), soft_wrap=True)
    if found.method.command:
        print_paragraph(console, f"a figure {found.method.formula}: `{found.method.command}` gives it")
        return
    print_paragraph(console, found.method.formula)
    if write_value(found).text == UNDEFINED or (found.short and metric.annualised):
        return
    if page in (None, 1):
        for table in (tabulate_steps(found), tabulate_symbols(found)):
            if table.rows:
                console.print()
                print_table(console, table)
    if found.rows:
        chosen = choose_page(len(found.rows), page)
        console.print()
        print_table(console, tabulate_parts(found, chosen))
        print_turn(console, chosen)
    for sentence in _notes(found):
        print_paragraph(console, sentence, "dim")


def print_turn(console: Console, page: Page) -> None:
    """Print which page of how many was shown; nothing where all was."""
    if page.of > 1:
        rest = f", `--page {page.number + 1}` has the next" if page.number < page.of else ""
        console.print(Text(f"page {page.number} of {page.of}{rest}", "dim"))


def tabulate_steps(found: ExplainedNumber) -> Table:
    """Return what the number is worked out from, beside its parts."""
    rows = [make_row(name, (Cell(_write(value, unit), value=value),)) for name, value, unit in found.shown.steps]
    return make_table("Worked out from", [Column("")], rows)


def tabulate_symbols(found: ExplainedNumber) -> Table:
    """Return what each symbol adds to the number, the largest first; nothing for a single one without a rest."""
    total = found.total
    if total is None or found.symbol or not found.by_symbol:
        return make_table("By symbol", [Column("")], [])
    ranked = sorted(found.by_symbol.items(), key=lambda one: -abs(one[1]))
    shown = dict(ranked[:OTHERS])
    if len(ranked) > OTHERS:
        shown[f"{len(ranked) - OTHERS} others"] = sum(part for _, part in ranked[OTHERS:])
    left = total - sum(found.by_symbol.values())
    if found.start:
        shown["cash at the start"], left = found.start, left - found.start
    if abs(left) > 1e-9 * max(abs(total), 1e-3):
        shown[REST if found.metric != "information_ratio" else f"less buy-and-hold's; {REST}"] = left
    rows = [make_row(name, (Cell(_part(found, part), value=part),)) for name, part in shown.items()]
    return make_table("By symbol", [Column("part")], rows, corner="symbol")


def tabulate_parts(found: ExplainedNumber, page: Page) -> Table:
    """Return one page of the parts, with their sum behind the last."""
    units = {name: unit for name, (_, unit) in found.shown.columns.items()}
    words = [name for name in (found.rows[0] if found.rows else {}) if name not in units and name != "part"]
    label, *others = words
    rows = []
    for row in found.rows[page.first : page.end]:
        cells = [Cell(str(row[name] or ("held" if name == "exit" else ""))) for name in others]
        cells += [Cell(_write(number_of(row[name]), unit)) for name, unit in units.items()]
        cells += [Cell(_part(found, number_of(row["part"])))] if "part" in row else []
        rows.append(make_row(str(row[label]), cells))
    if found.sum is not None and page.number == page.of:
        blank = [Cell("")] * (len(others) + len(units))
        rows.append(Row("sum", (*blank, Cell(_part(found, found.sum), value=found.sum)), css="own"))
    columns = [*(Column(name, words=True) for name in others), *map(Column, units)]
    columns += [Column("part")] if found.shown.parts is not None else []
    return make_table("Parts", columns, rows, corner=label)


def _notes(found: ExplainedNumber) -> list[str]:
    """Return notes: parts left out, and a value that is not what the files give."""
    notes, total, value = [], found.total, number_of(found.values.get(METRICS[found.metric].value_key))
    held, every = len(found.shown.held), len(found.by_symbol)
    if found.shown.parts is not found.whole.parts and found.sum is not None and total is not None:
        which = counted(held, "trade") if held else found.symbol
        notes.append(f"{which}: {_part(found, found.sum)} of {_part(found, total)}.")
    if held and any(one.last is None for one in found.shown.held):
        notes.append("A position still held counts with what it is worth at the last close.")
    if every and found.rows and not held and not found.symbol:
        notes.append(f"`--symbol {max(found.by_symbol, key=found.by_symbol.__getitem__)}` and `--trades 10` narrow it.")
    if total is not None and value is not None and abs(total - value) > 1e-6 * max(abs(value), 1e-6):
        notes.append(f"The files of the folder give {_part(found, total)}: they are not those it was written with.")
    return notes


def _part(found: ExplainedNumber, value: float | None) -> str:
    """Write a part with more digits than the whole: one session of hundreds."""
    unit = METRICS[found.metric].unit
    if value is None:
        return UNDEFINED
    if unit.startswith("%"):
        return percent(value, 3, sign=True)
    if unit == "$":
        return cents(value)
    return whole(value) if unit in ("sessions", "trades") and value == int(value) else ratio(value, 4, sign=True)


def _write(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    return {"%": lambda: percent(value, 3), "$": lambda: cents(value), "n": lambda: whole(value)}.get(
        unit, lambda: ratio(value, 4)
    )()
