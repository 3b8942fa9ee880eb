"""Expected cost and remaining time of a run that is asking, from what its answers cost and took so far."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from simulator.llm.gateway import Gateway
from simulator.llm.trace import Call

FEWEST = 20
"""Real calls before anything is said."""


def still_usd(calls: Iterable[Call], questions: Mapping[str, int]) -> float:
    """Dollars of those of ``questions`` {stage: how many the run asks} that are not among `calls` yet.

    Each is taken to cost what the answers of its stage cost on average, also those that another run paid for.
    """
    costs: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        costs[call.purpose.get("stage", "")].append(call.usage.cost_usd)
    everything = [usd for paid in costs.values() for usd in paid]
    usual = math.fsum(everything) / max(1, len(everything))
    return math.fsum(
        max(0, count - len(costs[stage])) * (math.fsum(costs[stage]) / len(costs[stage]) if costs[stage] else usual)
        for stage, count in questions.items()
    )


@dataclass(frozen=True)
class RunProgress:
    """State of a run in work, as its progress bar shows it.

    Attributes
    ----------
    stage : ``ask`` or ``replay``
    done, total : dates
    session : the date in work
    asked, cached, cost_usd : answers so far, and dollars paid for them
    expected_usd, seconds_left : of the whole run, and of the asking, as the answers so far suggest; None before the
        first `FEWEST` real calls
    note : state of the batches that are out
    """

    stage: str
    done: int
    total: int
    session: str
    asked: int
    cached: int
    cost_usd: float
    expected_usd: float | None = None
    seconds_left: float | None = None
    note: str = ""

    def describe(self) -> str:
        """Return ``41% cached, $0.42 of about $3.10, 4 min left``; empty before the first answer."""
        answers = self.asked + self.cached
        if self.note or not answers:
            return self.note
        spent = f"{self.cached / answers:.0%} cached, ${self.cost_usd:.2f}"
        if self.expected_usd is None or self.seconds_left is None:
            return spent
        left = f"{self.seconds_left / 60:.0f} min" if self.seconds_left >= 90 else f"{self.seconds_left:.0f} s"
        return f"{spent} of about ${self.expected_usd:.2f}, {left} left"


@dataclass
class Forecast:
    """Watches `gateway` answer ``questions`` {stage: how many the whole run asks}.

    What is left is taken as not on disk: a run that is continued has met its stored answers first.
    """

    gateway: Gateway
    questions: Mapping[str, int]
    clock: Callable[[], float] = time.monotonic
    _begun: float | None = field(default=None, init=False)

    def estimate(self) -> tuple[float, float] | None:
        """(dollars of the whole run, seconds left), None before the first `FEWEST` real calls."""
        asked = self.gateway.asked
        if self._begun is None:
            self._begun = self.clock()
        if asked < FEWEST:
            return None
        calls = self.gateway.calls
        left = max(0, sum(self.questions.values()) - len(calls))
        pace = (self.clock() - self._begun) / asked
        return self.gateway.cost_usd + still_usd(calls, self.questions), pace * left
