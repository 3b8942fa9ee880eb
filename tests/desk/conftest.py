"""A real year of four symbols, agents over a real gateway whose seats are exchanged at will, states of an account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulator.config import Seat
from simulator.desk.agents import analysts
from simulator.desk.agents.personas import load_personas
from simulator.desk.agents.protocol import Agents
from simulator.desk.state import DeskState
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import Offline
from simulator.market.bars import Bars, instant, moment
from simulator.market.calendar import MINUTE, NEW_YORK, sessions
from simulator.market.load import load_bars
from simulator.trading.model import Book, RoundTrip

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "strategies" / "momentum_desk"


@pytest.fixture(scope="session")
def bars() -> Bars:
    symbols = ("AAPL", "NVDA", "QQQ", "SPY")
    return load_bars(symbols, ROOT / "data", first=date(2023, 1, 3), last=date(2024, 6, 28)).bars


@pytest.fixture(scope="session")
def state(bars: Bars) -> DeskState:
    """A desk with cash alone, on a day of 2024."""
    at = moment(int(bars.closes_at[-1]))
    snapshot = bars.snapshot(at)
    return DeskState(snapshot, Book(100_000.0, {}, {s: snapshot.last(s) for s in snapshot.symbols}, 100_000.0))


class Spy:
    """A provider that keeps every question and answers by `provider`, or by a function of the question."""

    name = "offline"
    in_process = True

    def __init__(self, answer: Callable[[ChatRequest], str] | None = None) -> None:
        self.heard: list[ChatRequest] = []
        self._answer, self._offline = answer, Offline(analysts.RULES, analysts.VERSION)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        self.heard.append(request)
        return ChatResponse(self._answer(request)) if self._answer else await self._offline.ask(request)


Make = Callable[..., tuple[Agents, Spy]]


@pytest.fixture
def make_agents(tmp_path: Path) -> Make:
    """``make_agents(answer, mode)``: the shipped agents, all seats offline or answered by `answer`."""

    def make(answer: Callable[[ChatRequest], str] | None = None, mode: Mode = "record") -> tuple[Agents, Spy]:
        spy = Spy(answer)
        gateway = Gateway(AnswerCache(tmp_path / "llm_cache"), {"offline": spy}, mode=mode)
        personas = load_personas(SHIPPED)
        seats: Mapping[str, Seat] = {name: Seat(provider="offline", model=name) for name in personas}
        return Agents(personas, seats, gateway, analysts.VERSION), spy

    return make


SYMBOLS = ("AAA", "BBB", "LATE", "SPY")
"""LATE is listed in the middle."""
SECTORS = {"AAA": "tech", "BBB": "tech", "SPY": "broad"}


def at(day: str, clock: str = "06:30") -> datetime:
    """Return an instant in New York."""
    return datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), NEW_YORK)


def walk_bars(first: str = "2024-01-02", last: str = "2024-12-31", minutes: int = 0, seed: int = 1) -> Bars:
    """Return random walks of SYMBOLS, daily or in bars of so many `minutes`."""
    on = sessions(date.fromisoformat(first), date.fromisoformat(last))
    opens_at, closes_at, session_of = on.opens_at, on.closes_at, on.session_of
    if minutes:
        parts = [np.arange(a, b, minutes * MINUTE) for a, b in zip(opens_at.tolist(), closes_at.tolist(), strict=True)]
        session_of = np.repeat(session_of, [len(part) for part in parts])
        opens_at = np.concatenate(parts)
        closes_at = opens_at + minutes * MINUTE
    shape = (len(opens_at), len(SYMBOLS))
    moves = np.random.default_rng(seed).normal(0.0005, 0.01, (4, *shape))
    close = 100.0 * np.cumprod(1.0 + moves[0], axis=0)
    open_ = close * (1.0 + moves[1] / 2)
    high = np.maximum(open_, close) * (1.0 + np.abs(moves[2]) / 4)
    low = np.minimum(open_, close) * (1.0 - np.abs(moves[3]) / 4)
    volume = np.round(2e6 * (1.0 + 20 * np.abs(moves[2])))
    for prices in (open_, high, low, close, volume):
        prices[: shape[0] // 2, SYMBOLS.index("LATE")] = np.nan
    none = np.zeros(shape)
    frequency = f"{minutes}min" if minutes else "1d"
    return Bars(SYMBOLS, opens_at, closes_at, open_, high, low, close, volume, none, session_of, SYMBOLS, frequency)


def state_at(
    now: datetime, bars: Bars, positions: Mapping[str, float] | None = None, cash: float = 100_000.0, **more: Any
) -> DeskState:
    """Return the state of an account with `positions` at the last closes."""
    snapshot = bars.snapshot(now)
    marks = {symbol: snapshot.last(symbol) for symbol in SYMBOLS if snapshot.has(symbol)}
    held = dict(positions or {})
    worth = cash + sum(shares * marks[symbol] for symbol, shares in held.items())
    return DeskState(snapshot, Book(cash, held, marks, worth), SECTORS, **more)


def with_equity(state: DeskState, equity: float) -> DeskState:
    """Return `state` with that equity, whatever is held."""
    return replace(state, book=replace(state.book, equity=equity))


def trip(symbol: str, entered: str, left: str | None, pnl: float) -> RoundTrip:
    """Return a long round trip of a hundred shares bought at 100, closed at the open of the day it was left."""
    opened = instant(at(entered, "09:30"))
    closed = None if left is None else instant(at(left, "09:30"))
    price = None if left is None else 100.0 + pnl / 100
    days: Sequence[date] = [] if left is None else [date.fromisoformat(left)]
    held = sum((day - date.fromisoformat(entered)) // timedelta(days=1) for day in days)
    last = (None, "still held") if left is None else (1, "open")
    return RoundTrip(
        symbol, "long", opened, closed, 100.0, 100.0, price, 0.0, pnl, pnl / 10_000, held, 0.0, 0.0, 0.0, 0.0, 0, *last
    )


@pytest.fixture(scope="session")
def desk() -> SimpleNamespace:
    """Functions that make states of a desk."""
    return SimpleNamespace(at=at, bars=walk_bars, state=state_at, with_equity=with_equity, trip=trip)
