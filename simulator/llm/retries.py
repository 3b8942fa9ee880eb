"""Waits between the attempts at a question whose provider fails in passing: 1, 2, 4, 8 and 16 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulator.llm.providers import TransientError


@dataclass(frozen=True)
class Retry:
    """Waits between attempts, without jitter.

    Attributes
    ----------
    waits : seconds before the second attempt, the third, …; after the last of them the question is given up
    patience_s : a provider that asks to be left alone for longer (``Retry-After``) is not waited for
    """

    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience_s: float = 120.0

    def wait_after(self, attempt: int, failure: TransientError) -> float | None:
        """Seconds to wait after attempt number `attempt` (1, 2, …) failed; None where there is to be no further one."""
        asked_for = failure.retry_after or 0.0
        if attempt > len(self.waits) or asked_for > self.patience_s:
            return None
        return max(self.waits[attempt - 1], asked_for)
