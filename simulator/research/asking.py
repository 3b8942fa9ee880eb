"""The gateway of a run: its cache, its providers, the seats of the chosen profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from simulator.config import Config, Seat
from simulator.council import analysts
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import seats
from simulator.workspace import Workspace


@dataclass(frozen=True)
class Asking:
    """Whom a strategy may ask, and through what."""

    gateway: Gateway
    seats: Mapping[str, Seat]


@contextmanager
def open_gateway(mode: Mode, profile: str | None, workspace: Workspace, config: Config) -> Iterator[Asking]:
    """The gateway over the workspace's cache, closed at the end. Raises ConfigError for an unknown profile."""
    chosen = seats(config.models, profile)
    cache = AnswerCache(workspace.cache)
    try:
        yield Asking(Gateway(cache, {"offline": Offline(analysts.RULES, analysts.VERSION)}, mode=mode), chosen)
    finally:
        cache.close()
