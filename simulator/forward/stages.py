"""Stages of a meeting, on record as they come: who looks on sees what was said before the meeting is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from simulator.errors import SimError
from simulator.trading.strategy import FOLLOWER


@contextmanager
def record_stages(record: Callable[[Mapping[str, Any]], None], name: str) -> Iterator[None]:
    """Record each stage of what is asked inside once it is over, for the point `name`."""

    def follow(stage: str, said: Mapping[str, Any]) -> None:
        with suppress(SimError):  # a store that is away keeps nobody from deciding; the point says so at its end
            record({"name": name, "stage": stage, "minutes": said})

    token = FOLLOWER.set(follow)
    try:
        yield
    finally:
        FOLLOWER.reset(token)
