"""A real year of four symbols, and agents over a real gateway whose seats are exchanged at will."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

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
from simulator.market.bars import Bars, moment
from simulator.market.load import load_bars
from simulator.trading.model import Book

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
