"""Desk: the acceptance table, classes against what followed, vetoes by rule, time in states, bills of the agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.analysis.desk import (
    DAYS_A_MONTH,
    EXPECTED_A_DAY,
    EXPECTED_A_WEEK,
    HORIZON,
    WEEKS_A_MONTH,
    Bill,
    ClassOutcome,
    DeskWork,
    read_desk,
)
from simulator.analysis.targets import Yardstick, targets
from simulator.evidence.reader import Evidence
from simulator.number_format import UNDEFINED, counted, dollars, interval, number_of, ratio, signed_percent, whole
from simulator.report.table import Cell, Column, Group, Row, Table, make_row, make_table
from simulator.stats.series import Undefined

SUBSCRIPTION = 20.0
"""Dollars a month of the flat subscription the desk was designed for; no part of its bills."""


@dataclass(frozen=True)
class DeskSection:
    """Tables of a desk's work, in the order of the page, and what they show in sentences."""

    acceptance: Table
    classes: Table | None
    vetoes: Table | None
    states: Table
    bills: Table | None
    sentences: tuple[str, ...]
    classes_say: str
    bills_say: str

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those there are."""
        found = (self.acceptance, self.classes, self.vetoes, self.states, self.bills)
        return tuple(table for table in found if table is not None)


def compose(evidence: Evidence) -> DeskSection | None:
    """Return the section; None for a run of anything but a desk."""
    work = read_desk(evidence)
    if work is None:
        return None
    sticks = targets(evidence)
    passed = [one.label for one in sticks if passes(one)]
    forbidden = sum(symbols.total() for symbols in work.vetoes.values())
    return DeskSection(
        acceptance=tabulate_acceptance(sticks),
        classes=_tabulate_classes(work) if work.calls else None,
        vetoes=_tabulate_vetoes(work) if forbidden else None,
        states=_tabulate_states(work),
        bills=_tabulate_bills(work) if any(one.questions for one in work.bills) else None,
        sentences=(
            f"{len(passed)} of {len(sticks)} targets met{': ' + ', '.join(passed) if passed else ''}.",
            f"{counted(len(work.calls), 'analysis', 'analyses')}, "
            f"{counted(sum(call.planned for call in work.calls), 'plan')}, {counted(forbidden, 'veto', 'vetoes')}.",
        ),
        classes_say=_say_ranks(work),
        bills_say=_say_bills(work),
    )


def passes(one: Yardstick) -> bool:
    """Return True where a target is met, whatever chance may have to do with it."""
    return one.verdict.startswith("met")


def tabulate_acceptance(sticks: Sequence[Yardstick]) -> Table:
    """Return targets, what was reached with its interval, and pass or fail."""
    rows = []
    for one in sticks:
        result = "undefined" if one.reached is None else "pass" if passes(one) else "fail"
        rows.append(make_row(one.label, (*one.cells, result, one.verdict), one.how))
    words = (Column("Result", words=True), Column("Against chance", words=True))
    return make_table("Acceptance", ("Target", "Reached", "Interval", *words), rows, corner="Measure", caption=True)


def _tabulate_classes(work: DeskWork) -> Table:
    columns = (
        Column("Analyses"),
        Column("Planned"),
        Column("Rose", f"over {HORIZON} sessions"),
        Column("Mean return", "from the close before"),
        Column("Interval", "95\u00a0%"),
    )
    groups = [Group("As decided", tuple(map(_class_row, reversed(work.decided))))]
    if work.decided != work.by_formulas:
        groups.append(Group("By the formulas alone", tuple(map(_class_row, reversed(work.by_formulas)))))
    return Table("Classes against what followed", columns, tuple(groups), corner="Class", caption=True)


def _class_row(one: ClassOutcome) -> Row:
    rose = f"{whole(one.rose)} of {whole(one.known)}" if one.known else UNDEFINED
    mean = number_of(one.mean.value) if one.mean is not None else None
    low, high = (None, None) if one.mean is None else (number_of(one.mean.low), number_of(one.mean.high))
    why = one.mean.low.reason if one.mean is not None and isinstance(one.mean.low, Undefined) else ""
    cells = (
        Cell(whole(one.calls), value=one.calls),
        Cell(whole(one.planned), value=one.planned),
        Cell(rose, value=one.rose / one.known if one.known else None),
        Cell(signed_percent(mean), value=mean),
        Cell(interval(low, high, signed_percent), why=why),
    )
    return make_row(one.name.replace("_", " "), cells)


def _say_ranks(work: DeskWork) -> str:
    if work.ranks is None:
        return "No class has an outcome yet."
    low, high = number_of(work.ranks.low), number_of(work.ranks.high)
    ends = "" if low is None else f" ({interval(low, high)})"
    return (
        f"Rank correlation of class and return {ratio(number_of(work.ranks.value))}{ends}: "
        "a useful class rises from AVOID to STRONG BUY."
    )


def _tabulate_vetoes(work: DeskWork) -> Table:
    rows = []
    for rule, symbols in work.vetoes.items():
        most = ", ".join(f"{symbol} {times}" for symbol, times in symbols.most_common(5))
        rows.append(make_row(rule, (Cell(whole(symbols.total()), value=symbols.total()), most)))
    columns = (Column("Vetoes"), Column("Symbols, most often first", words=True))
    return make_table("Vetoes by rule", columns, rows, corner="Rule", caption=True)


def _tabulate_states(work: DeskWork) -> Table:
    total = sum(one.seconds for one in work.states)
    rows = []
    for one in work.states:
        hours = one.seconds / 3600.0
        share = signed_percent(one.seconds / total).lstrip("+") if total else UNDEFINED
        cells = (Cell(whole(one.entered), value=one.entered), Cell(ratio(hours, 1), value=hours), share)
        rows.append(make_row(one.name, cells))
    columns = (Column("Entered"), Column("Hours"), Column("Of the time"))
    return make_table("Time in states, nights left out", columns, rows, corner="State", caption=True, long_labels=True)


def _tabulate_bills(work: DeskWork) -> Table:
    columns = (
        Column("Questions"),
        Column("Tools asked"),
        Column("Failed"),
        Column("A day"),
        Column("Designed", "a day"),
        Column("A week", "on top"),
        Column("Designed", "a week"),
    )
    agents = tuple(_bill_row(one, work) for one in work.bills)
    return Table("Bills", columns, (Group("", (*agents, *_totals(work))),), corner="Agent", caption=True)


def _bill_row(one: Bill, work: DeskWork) -> Row:
    daily, weekly = one.daily / max(work.sessions, 1), one.weekly / max(work.weeks, 1)
    counts = (one.questions, one.tools, one.failed)
    money = (daily, EXPECTED_A_DAY[one.agent], weekly, EXPECTED_A_WEEK.get(one.agent, 0.0))
    return make_row(one.agent, _cells(counts, money))


def _totals(work: DeskWork) -> Iterator[Row]:
    daily, weekly = (sum(part.values()) for part in (EXPECTED_A_DAY, EXPECTED_A_WEEK))
    counts = tuple(
        sum(values) for values in zip(*((one.questions, one.tools, one.failed) for one in work.bills), strict=True)
    )
    yield make_row("All agents", _cells(counts, (work.a_day, daily, work.a_week, weekly)), css="total")


def _cells(counts: Sequence[int], money: Sequence[float]) -> list[Cell]:
    return [
        *(Cell(whole(one), value=one) for one in counts),
        *(Cell(dollars(one, 4), value=one) for one in money),
    ]


def _say_bills(work: DeskWork) -> str:
    month = DAYS_A_MONTH * work.a_day + WEEKS_A_MONTH * work.a_week
    designed = DAYS_A_MONTH * sum(EXPECTED_A_DAY.values()) + WEEKS_A_MONTH * sum(EXPECTED_A_WEEK.values())
    return (
        f"A month of {DAYS_A_MONTH} days and {WEEKS_A_MONTH} weekly reviews: {dollars(month, 4)} of answers, "
        f"{dollars(designed, 4)} as designed; a flat subscription, {dollars(SUBSCRIPTION)} a month, is apart. "
        "Answers out of the cache count what they cost when they were paid for."
    )
