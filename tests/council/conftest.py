"""A real year of the sample, and councils over a real gateway: only the rules that answer offline are exchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.config import load_config
from simulator.council import analysts
from simulator.council.context import PipelineContext
from simulator.council.spec import load_definition
from simulator.council.strategy import Council
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.messages import ChatRequest
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import seats
from simulator.market import calendar
from simulator.market.bars import FIELDS, Bars, Snapshot, moment
from simulator.market.events import Event, load_events
from simulator.market.load import load_bars
from simulator.trading.model import Book, Decision
from simulator.trading.schedule import MEETING, Point, Schedule, make_schedule

ROOT = Path(__file__).parents[2]
POINTS = (
    Point(MEETING, time(8), "weekly", always=True),
    Point("checkpoint 09:00", time(9)),
    Point("checkpoint 12:00", time(12)),
)
CASH = Book(100_000.0, {}, {}, 100_000.0)


@dataclass(frozen=True)
class Year:
    """The sessions of 2024 in the sample, with a year of history before them."""

    bars: Bars
    context: Bars
    events: tuple[Event, ...]
    instants: tuple[int, ...]

    def snapshot(self, k: int) -> Snapshot:
        return self.at(self.instants[k])

    def at(self, instant: int) -> Snapshot:
        return self.bars.snapshot(moment(int(instant)), self.events, self.context)

    @cached_property
    def schedule(self) -> Schedule:
        """The year's meetings, and checkpoints at 09:00 on the other sessions."""
        sessions = calendar.sessions(date(2024, 1, 2), date(2024, 12, 30))
        return make_schedule(POINTS, sessions, self.bars.closes_at)

    @property
    def points(self) -> list[tuple[Snapshot, str]]:
        return [(self.at(i), name) for i, name in zip(self.schedule.instants, self.schedule.names, strict=True)]


class ListeningGateway(Gateway):
    """The gateway, with every question put through it kept."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.heard: list[ChatRequest] = []

    async def ask_for(self, request: ChatRequest, model: Any, known: Any = None) -> Any:
        self.heard.append(request)
        return await super().ask_for(request, model, known)


@dataclass
class Meetings:
    """A council, the gateway it asks through, and what came of it at each date asked for."""

    council: Council
    gateway: ListeningGateway
    opinions: list[PipelineContext] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def hold(self, snapshots: Sequence[Snapshot], book: Book = CASH) -> Meetings:
        """All `snapshots` side by side, then their decisions in order."""

        async def all_dates() -> None:
            self.opinions = await asyncio.gather(*(self.council.opine(s, ()) for s in snapshots))
            self.decisions = [
                self.council.decide(s, opinion, book, ()) for s, opinion in zip(snapshots, self.opinions, strict=True)
            ]

        asyncio.run(all_dates())
        return self

    def follow(self, points: Sequence[tuple[Snapshot, str]]) -> list[Mapping[str, Any]]:
        """Meetings and checkpoints one after the other, each handed the minutes of the one before; all minutes."""

        async def one_by_one() -> list[Mapping[str, Any]]:
            minutes: list[Mapping[str, Any]] = []
            for snapshot, point in points:
                who = self.council if point == MEETING else self.council.checkpoint
                journal = (Decision(snapshot.as_of, (), minutes[-1]),) if minutes else ()
                self.opinions.append(await who.opine(snapshot, journal))
                minutes.append(who.minutes(self.opinions[-1]))
            return minutes

        return asyncio.run(one_by_one())

    @property
    def prompts(self) -> list[str]:
        """What was asked so far, word for word."""
        return ["\n".join(message.content for message in request.messages) for request in self.gateway.heard]


Convene = Callable[..., Meetings]


def read_year(*symbols: str) -> Year:
    loaded = load_bars(
        symbols, ROOT / "data", first=date(2024, 1, 2), last=date(2024, 12, 30), history=260, context=("BIL", "VIX")
    )
    sessions = calendar.sessions(date(2024, 1, 2), date(2024, 12, 30))
    at = load_config(ROOT / "config").schedule.decision_time
    instants = tuple(int(i) for i in calendar.decision_instants(sessions, "weekly", at))
    return Year(loaded.bars, loaded.context, load_events(ROOT / "data" / "events.csv"), instants)


@pytest.fixture(scope="session")
def year() -> Year:
    return read_year("SPY", "QQQ")


@pytest.fixture(scope="session")
def wide_year() -> Year:
    return read_year("SPY", "QQQ", "GLD", "AAPL", "NVDA", "BIL")


@pytest.fixture(scope="session")
def convene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Convene]:
    """``convene(rules={…}, path=…, parameters={…})``: a council whose offline analysts follow `rules` where given."""
    opened: list[AnswerCache] = []

    def open_council(
        rules: Mapping[str, Any] | None = None,
        path: Path = ROOT / "strategies" / "macro_council" / "strategy.yaml",
        parameters: Mapping[str, Any] | None = None,
        cache: Path | None = None,
        mode: Mode = "record",
    ) -> Meetings:
        answers = AnswerCache(cache or tmp_path_factory.mktemp("llm_cache"))
        opened.append(answers)
        offline = Offline({**analysts.RULES, **(rules or {})}, analysts.VERSION)
        gateway = ListeningGateway(answers, {"offline": offline}, mode=mode)
        taken = seats(load_config(ROOT / "config").models, "offline")
        return Meetings(Council(load_definition(path, parameters), taken, gateway), gateway)

    yield open_council
    for answers in opened:
        answers.close()


@pytest.fixture(scope="session")
def held(convene: Convene, year: Year) -> Meetings:
    """The shipped council over the whole year."""
    return convene().hold([year.snapshot(k) for k in range(len(year.instants))])


@pytest.fixture(scope="session")
def followed(convene: Convene, year: Year) -> tuple[Meetings, list[Mapping[str, Any]]]:
    """The shipped council over the whole year with its checkpoints, and the minutes of all points."""
    meetings = convene()
    return meetings, meetings.follow(year.points)


@pytest.fixture
def noise_after() -> Callable[[Bars, int], Bars]:
    """``noise_after(bars, row)``: the same bars with every number from `row` on replaced by noise."""

    def replaced(bars: Bars, row: int) -> Bars:
        random = np.random.default_rng(7)
        arrays = {name: np.array(getattr(bars, name)) for name in (*FIELDS, "dividend")}
        for array in arrays.values():
            array[row:] = random.uniform(1.0, 1000.0, array[row:].shape)
        return Bars(
            symbols=bars.symbols,
            opens_at=bars.opens_at,
            closes_at=bars.closes_at,
            session_of=bars.session_of,
            sources=bars.sources,
            frequency=bars.frequency,
            **arrays,
        )

    return replaced
