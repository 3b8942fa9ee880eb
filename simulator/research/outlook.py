"""What a run that is asking will cost and how long it will take, from what its answers cost and took so far."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulator.llm.gateway import Gateway

FEWEST = 20
"""Real calls before anything is said."""


@dataclass
class Outlook:
    """Watches `gateway` answer ``questions`` {stage: how many the whole run asks}.

    What is left is taken as not on disk: a run that is continued has met its stored answers first.
    """

    gateway: Gateway
    questions: Mapping[str, int]
    clock: Callable[[], float] = time.monotonic
    _begun: float | None = field(default=None, init=False)

    def expected(self) -> tuple[float, float] | None:
        """(dollars of the whole run, seconds left), None before the first `FEWEST` real calls."""
        asked = self.gateway.asked
        if asked and self._begun is None:
            self._begun = self.clock()
        if asked < FEWEST or self._begun is None:
            return None
        answered: Counter[str] = Counter()
        cost: Counter[str] = Counter()
        for call in self.gateway.calls:
            stage = call.purpose.get("stage", "")
            answered[stage] += 1
            cost[stage] += call.usage.cost_usd  # type: ignore[assignment]
        overall = math.fsum(cost.values()) / max(1, answered.total())
        left = {stage: max(0, wanted - answered[stage]) for stage, wanted in self.questions.items()}
        each = {stage: cost[stage] / answered[stage] if answered[stage] else overall for stage in left}
        pace = (self.clock() - self._begun) / asked
        still = math.fsum(left[stage] * each[stage] for stage in left)
        return self.gateway.cost_usd + still, pace * sum(left.values())
