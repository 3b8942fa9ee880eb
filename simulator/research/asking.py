"""The gateway of a run: its cache, its providers, the seats of the chosen profile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from simulator.config import Config, Seat
from simulator.council import analysts
from simulator.llm.budget import Budget
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import providers_for, seats
from simulator.research.spec import RunSpec
from simulator.workspace import Workspace


@dataclass(frozen=True)
class Asking:
    """Whom a strategy may ask, and through what. Connections live in `loop`."""

    gateway: Gateway
    seats: Mapping[str, Seat]
    loop: asyncio.Runner


@contextmanager
def open_gateway(spec: RunSpec, workspace: Workspace, config: Config) -> Iterator[Asking]:
    """The gateway over the workspace's cache, closed at the end. Raises ConfigError for an unknown profile."""
    chosen = seats(config.models, spec.models)
    cache = AnswerCache(workspace.cache)
    providers = providers_for(chosen, Offline(analysts.RULES, analysts.VERSION))
    with asyncio.Runner() as loop:
        try:
            yield Asking(Gateway(cache, providers, budget=Budget(spec.max_cost), mode=spec.cache), chosen, loop)
        finally:
            for provider in providers.values():
                if close := getattr(provider, "close", None):
                    loop.run(close())
            cache.close()
