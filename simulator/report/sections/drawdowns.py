"""Drawdowns: the five deepest losses from a peak, with their dates and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from simulator.analysis.course import Course
from simulator.number_format import counted, whole
from simulator.report.catalogue import METRICS
from simulator.report.charts import spell
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table
from simulator.stats.drawdowns import Drawdown, deepest_drawdowns
from simulator.stats.series import Undefined

MOST = 5


@dataclass(frozen=True)
class DrawdownSection:
    """The deepest `falls`, the same as a table, and a sentence on all there were."""

    falls: tuple[Drawdown, ...]
    table: Table
    sentence: str


def compose(course: Course | Undefined, sessions: Sequence[date]) -> DrawdownSection | None:
    """Return the section; None where the account never fell below a peak, or was lost."""
    every = course if isinstance(course, Undefined) else deepest_drawdowns(course.returns)
    if isinstance(every, Undefined) or not every:
        return None
    below = sum(one.sessions for one in every)
    times = [Column(name, "sessions") for name in ("To trough", "Back", "Length")]
    rows = [_row(one, sessions) for one in every[:MOST]]
    return DrawdownSection(
        every[:MOST],
        make_table("Deepest drawdowns", ("From", "Trough", "Recovered", *times), rows, corner="Depth"),
        f"{counted(len(every), 'drawdown')} in all; {whole(below)} of {counted(len(sessions), 'session')} "
        "lie between a peak and its recovery.",
    )


def spell_point(point: int, sessions: Sequence[date]) -> str:
    """Return the date of a point of the path: 0 is the money put in, before the first session."""
    return spell(sessions[point - 1]) if point else "the start"


def _row(one: Drawdown, sessions: Sequence[date]) -> Row:
    fall = one.trough - one.peak
    back = None if one.recovery is None else one.recovery - one.trough
    cells = (
        spell_point(one.peak, sessions),
        spell_point(one.trough, sessions),
        Cell("not yet") if one.recovery is None else Cell(spell_point(one.recovery, sessions)),
        Cell(whole(fall), value=fall),
        Cell("not yet") if back is None else Cell(whole(back), value=back),
        Cell(whole(one.sessions), value=one.sessions),
    )
    return make_row(METRICS["max_drawdown"].format(one.depth), cells)
