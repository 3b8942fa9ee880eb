"""Answers for a plan: those on disk, and stand-ins for those that are not. Nobody is asked, nothing is written."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from simulator.config import Config
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.registry import seats
from simulator.llm.rounds import Rounds
from simulator.llm.spending.prices import Prices
from simulator.runs.gateway_setup import OFFLINE_RULES, Asking, offline_analysts
from simulator.workspace import Workspace

FREE_TEXTS = ("macro_regime", "invalidation", "kill_shot", "monitoring_plan", "reason", "market_note", "rationale")
MARK = " (to come)"
"""Added to a text of every stand-in: a prompt built from one must not be found on disk by accident."""


class Reading(AnswerCache):
    """The answers a run in that mode would find; nothing is put in."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        super().__init__(folder)
        self._blind = mode in ("refresh", "off")

    def get(self, key: str) -> ChatResponse | None:
        return None if self._blind else super().get(key)

    def put(self, request: ChatRequest, response: ChatResponse, *, replace: bool = False) -> ChatResponse:  # noqa: ARG002
        return response


class PlanProvider:
    """Answers every question in its schema, by the rules of the offline analysts, and keeps the question.

    For offline seats these are the answers they will give; for models they are as likely as any other.
    """

    name = "stand-in"
    in_process = True

    def __init__(self) -> None:
        self.asked: dict[str, ChatRequest] = {}
        self._offline = offline_analysts()

    async def ask(self, request: ChatRequest) -> ChatResponse:
        self.asked[request.key] = request
        if request.provider == self._offline.name:
            return await self._offline.ask(request)
        answer = json.loads((await self._offline.ask(replace(request, model=analyst_for(request)))).text)
        marked = {name: text + MARK if name in FREE_TEXTS else text for name, text in answer.items()}
        return ChatResponse(json.dumps(marked, ensure_ascii=False))


@dataclass(eq=False)
class PlanRounds(Rounds):
    """Rounds of a plan: counted, and answered at once. `most_usd` is the most that one of them can cost, singly."""

    provider: PlanProvider
    prices: Prices
    most_usd: float = field(default=0.0, init=False)

    async def begin(self) -> None:
        return

    async def close(self) -> None:
        return

    async def put(self) -> None:
        self.rounds += 1
        self.most_usd = max(self.most_usd, sum(self.prices.estimate(one.request)[1] for one in self.parked.values()))
        for key, one in list(self.parked.items()):
            self.deliver(key, await self.provider.ask(one.request))


@contextmanager
def plan_gateway(
    workspace: Workspace, config: Config, models: str | None, mode: Mode, plan_provider: PlanProvider
) -> Iterator[Asking]:
    """A way to ask over the workspace's cache, with `plan_provider` for every provider of the profile `models`.

    Raises ConfigError for an unknown profile.
    """
    chosen = seats(config.models, models)
    again: Mode = "retry" if mode == "retry" else "record"
    with Reading(workspace.cache, mode) as cache, asyncio.Runner() as loop:
        everyone = dict.fromkeys(("offline", *(seat.provider for seat in chosen.values())), plan_provider)
        yield Asking(Gateway(cache, everyone, mode=again), chosen, tuple(config.accounts.accounts), loop, config=config)


def analyst_for(request: ChatRequest) -> str:
    """Return the analyst that stands in: the one of the seat's name where there is one, else any of that stage."""
    title, seat = str((request.schema or {}).get("title")), request.purpose.get("seat", "")
    able = sorted(rule.partition("/")[0] for rule in OFFLINE_RULES if rule.endswith(f"/{title}"))
    name = seat.rpartition(".")[2]
    return name if name in able else able[hashlib.sha256(seat.encode()).digest()[0] % len(able)]
