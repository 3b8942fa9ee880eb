"""A strategy with points of its own, replayed: what each of them is handed, with opinions asked ahead and without."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from typing import Any

import numpy as np
import pytest

from simulator.errors import LLMError
from simulator.evidence.writer import decision_lines
from simulator.market.bars import Snapshot, moment
from simulator.market.calendar import sessions, wall_to_utc
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import prefetch, silent
from simulator.replay.run import Replayed, play, replay_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Target
from simulator.trading.risk import Limits
from simulator.trading.schedule import Point, make_schedule
from simulator.trading.strategy import Reads

from .conftest import make_bars

RULES = TradingRules(Limits(1.0, 1.0, 1.0, {}), ExecutionRules())
POINTS: tuple[tuple[str, time, Reads], ...] = (
    ("plan", time(8), "market"),
    ("open", time(10), "minutes"),
    ("late morning", time(11), "minutes"),
    ("noon", time(12), "nothing"),
    ("afternoon", time(13), "journal"),
    ("last orders", time(14), "market"),
    ("close", time(15), "minutes"),
    ("review", time(17), "journal"),
)
HOURS = [time(hour, 30) for hour in (9, 10, 11, 12, 13, 14)]


class Role:
    """Decides at one point of a desk. Its opinion is a text of all it was handed, which its decision records."""

    name, cadence, window = "role", "daily", 1

    def __init__(self, desk: Desk, point: str, reads: Reads) -> None:
        self.desk, self.point, self.reads = desk, point, reads

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> str:
        await asyncio.sleep(0)
        if snapshot.as_of.isoformat() == self.desk.fails_at:
            raise LLMError("nobody answers")
        read = [(str(one.as_of), len(one.targets), dict(one.record)) for one in journal]
        self.desk.handed[str(snapshot.as_of)] = read
        return f"{self.point} at {snapshot.last('A')} after {[(at, count) for at, count, _ in read]}"

    def minutes(self, opinion: str) -> Mapping[str, Any]:
        return {"said": opinion}

    def decide(self, snapshot: Snapshot, opinion: str | None, book: Book, journal: Sequence[Decision]) -> Decision:
        weight = (len(journal) % 3) / 4
        record = {"point": self.point, "opinion": opinion, "held": book.positions.get("A", 0.0)}
        return Decision(snapshot.as_of, (Target("A", weight),), record)


class Consulting(Role):
    """Asks once more with the book in hand."""

    async def consult(self, snapshot: Snapshot, opinion: str, book: Book, journal: Sequence[Decision]) -> str:
        self.desk.consulted.append((snapshot.as_of, len(journal)))
        return f"{opinion}; {book.positions.get('A', 0.0):.4f} shares after {len(journal)} decisions"


class Desk(Role):
    """Brings eight points; the last orders of a day are decided with a consultation."""

    def __init__(self, fails_at: str | None = None) -> None:
        super().__init__(self, "desk", "market")
        self.handed: dict[str, list[Any]] = {}
        self.consulted: list[Any] = []
        self.fails_at = fails_at
        kinds = {"last orders": Consulting}
        self.roles = {name: kinds.get(name, Role)(self, name, reads) for name, _, reads in POINTS}

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(Point(name, at, always=name == "plan") for name, at, _ in POINTS)

    def at(self, point: str) -> Role:
        return self.roles[point]


@pytest.fixture(scope="module")
def inputs() -> ReplayInputs:
    """Three sessions of six hourly bars, 09:30 to 15:30, after one that came before the run."""
    on = sessions(date(2024, 1, 2), date(2024, 1, 5))
    opens = np.sort(np.concatenate([wall_to_utc(on.session_of, at) for at in HOURS]))
    prices = [(100.0 + n, 101.0 + n, 99.0 + n, 100.5 + n) for n in range(len(opens))]
    days = np.repeat(on.session_of, len(HOURS))
    bars = make_bars({"A": prices}, opens_at=opens, closes_at=opens + 3_600_000_000_000, session_of=days)
    due = make_schedule(Desk().points, on.rows(1, 4), bars.closes_at)
    return ReplayInputs(bars, bars, len(HOURS), due.instants, (), due.names)


def without_prefetch(desk: Desk, inputs: ReplayInputs) -> Replayed:
    with asyncio.Runner() as loop:
        return play(desk, inputs, RULES, 10_000.0, {}, silent, loop)


def test_a_day_has_its_eight_points_but_those_that_bring_no_new_bar_or_come_after_the_close(
    inputs: ReplayInputs,
) -> None:
    assert inputs.points[:7] == ("plan", "late morning", "noon", "afternoon", "last orders", "close", "plan")
    due = make_schedule(Desk().points, sessions(date(2024, 1, 3), date(2024, 1, 5)), inputs.bars.closes_at)
    assert due.notes == ("3 points bring no bar newer than the occasion before and are skipped (10:00 × 3)",)


def test_opinions_asked_ahead_and_opinions_formed_on_the_way_give_the_same_bytes(inputs: ReplayInputs) -> None:
    first, second = Desk(), Desk()
    ahead, on_the_way = replay_strategy(first, inputs, RULES, 10_000.0), without_prefetch(second, inputs)
    assert decision_lines(ahead.results) == decision_lines(on_the_way.results)
    at = str(moment(int(inputs.instants[-1])))
    assert first.handed == second.handed | {at: first.handed[at]}, "after the last bar nothing is decided any more"
    assert ahead.ledger.equity.tobytes() == on_the_way.ledger.equity.tobytes()


def test_a_point_is_handed_what_it_declared_and_nothing_else(inputs: ReplayInputs) -> None:
    desk = Desk()
    done = replay_strategy(desk, inputs, RULES, 10_000.0)
    by_point = dict(zip(inputs.points[6:12], inputs.instants[6:12], strict=True))
    at = {point: str(moment(int(instant))) for point, instant in by_point.items()}
    opinions = {point: done.results[6 + n].decision.record["opinion"] for n, point in enumerate(by_point)}
    assert desk.handed[at["plan"]] == []
    assert desk.handed[at["late morning"]] == [(at["plan"], 0, {"said": opinions["plan"]})]
    assert at["noon"] not in desk.handed, "it forms no opinion"
    assert opinions["noon"] is None
    assert [one[0] for one in desk.handed[at["afternoon"]]] == [str(r.decision.as_of) for r in done.results[:9]]
    (minutes,) = desk.handed[at["close"]]
    assert minutes[2] == {"said": opinions["last orders"].partition(";")[0]}, "of the market, before the book was shown"


def test_only_what_rests_on_the_market_is_asked_ahead(inputs: ReplayInputs) -> None:
    ahead = asyncio.run(prefetch(Desk(), inputs, silent))
    assert {inputs.points[k] for k in ahead.opinions} == {"plan", "late morning", "last orders", "close"}


def test_minutes_of_a_point_that_is_left_to_the_replay_are_not_waited_for(inputs: ReplayInputs) -> None:
    order = ("close", "late morning", "noon", "close", "afternoon", "open", "plan", "close")
    some = replace(inputs, instants=inputs.instants[:8], points=order)
    ahead = asyncio.run(prefetch(Desk(), some, silent))
    assert sorted(ahead.opinions) == [0, 1, 6, 7], "not after noon, which has no opinion, nor after the afternoon's"
    first, second = Desk(), Desk()
    assert decision_lines(replay_strategy(first, some, RULES, 10_000.0).results) == decision_lines(
        without_prefetch(second, some).results
    )


def test_a_consultation_sees_each_book_once_in_order_of_date(inputs: ReplayInputs) -> None:
    desk = Desk()
    done = replay_strategy(desk, inputs, RULES, 10_000.0)
    asked = [k for k, point in enumerate(inputs.points) if point == "last orders"]
    assert desk.consulted == [(done.results[k].decision.as_of, k) for k in asked]
    for k in asked:
        record = done.results[k].decision.record
        assert record["opinion"].endswith(f"; {record['held']:.4f} shares after {k} decisions")


@pytest.mark.parametrize("point", ["last orders", "afternoon"])
def test_where_the_asking_stops_everything_before_it_is_replayed(inputs: ReplayInputs, point: str) -> None:
    """Ahead of the replay, and in the middle of it."""
    failing = next(k for k, name in enumerate(inputs.points) if name == point and k > 6)
    stop = moment(int(inputs.instants[failing]))
    done = replay_strategy(Desk(stop.isoformat()), inputs, RULES, 10_000.0)
    whole = replay_strategy(Desk(), inputs, RULES, 10_000.0)
    assert done.stopped is not None
    assert decision_lines(done.results) == decision_lines(whole.results[:failing])
    assert len(done.inputs.traded) == len(done.ledger.equity) < len(whole.ledger.equity)
    assert done.ledger.equity.tobytes() == whole.ledger.equity[: len(done.ledger.equity)].tobytes()
    with pytest.raises(LLMError, match="nobody answers"):
        replay_strategy(Desk(moment(int(inputs.instants[0])).isoformat()), inputs, RULES, 10_000.0)
