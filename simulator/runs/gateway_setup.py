"""The gateway of a run: its cache, its money, its limits, its journal, the seats of the chosen profile."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.config import Config, Seat
from simulator.council import analysts
from simulator.desk.agents import analysts as desk_analysts
from simulator.keys import scrub
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.journal import Journal
from simulator.llm.messages import ChatRequest
from simulator.llm.opinions import OpinionStore
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import check_seats, providers_for, seats
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges
from simulator.llm.spending.fair_queue import FairQueue
from simulator.llm.spending.first_ahead import FirstAhead
from simulator.llm.spending.limits import Limits
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import SharedLedger
from simulator.printing import say
from simulator.replay.kept_opinions import KeptOpinions
from simulator.runs.identity import code_digest, digest_of, packages
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Seating
from simulator.workspace import Workspace

SECONDS_AFTER_STOP = 1.0
"""Seconds that answers on their way are waited for when a run ends by an error or by Ctrl-C."""

OFFLINE_RULES = {**analysts.RULES, **desk_analysts.RULES}
"""Rules of all that answer offline, by seat and title of the schema."""


@dataclass
class Estimate:
    """(likely, at most) dollars of a question. Before the first one is put, everyone in `seats` must have a price and a
    key: nothing is paid for a run that could not go on. What is on disk needs neither."""

    charges: Charges
    seats: Mapping[str, Seat]
    _checked: bool = field(default=False, init=False)

    def __call__(self, request: ChatRequest) -> tuple[float, float]:
        if not self._checked:
            for seat in self.seats.values():
                self.charges.prices.price(seat)
            check_seats(self.seats.values())
            self._checked = True
        return self.charges.estimate(request)


@dataclass(frozen=True)
class Asking(Seating):
    """A seating whose questions really go out. Connections live in `loop`."""

    gateway: Gateway
    loop: asyncio.Runner
    estimate: Estimate | None = None

    def open_for(self, run_id: str, seats: Mapping[str, Seat]) -> None:
        """Say whose run it is and who is asked in it: a run that is continued finds what it spent before."""
        self.gateway.budget.run = run_id
        if self.estimate is not None:
            self.estimate.seats = seats

    def drain(self, patience_s: float | None = None) -> None:
        """Wait for answers on their way, which are paid for, and close connections; nothing new is asked."""
        if patience_s is None:
            self.loop.run(self.gateway.drain())
        else:
            self.loop.run(self.gateway.drain(patience_s))


def offline_analysts() -> Offline:
    """Return the provider that answers by rule, in the seats of councils and of the desk."""
    return Offline(OFFLINE_RULES, analysts.VERSION)


def say_line(line: str) -> None:
    """Print a line that does not wait for the result."""
    # At once, and beside what a command prints: money that was booked differently from what was told.
    say(f"sim: {scrub(line)}", err=True)


@contextmanager
def open_gateway(spec: RunSpec, workspace: Workspace, config: Config) -> Iterator[Asking]:
    """The gateway over the workspace's cache, closed at the end. Raises ConfigError for an unknown profile.

    Where only the rule-based analysts answer, nothing is shared with other processes and nothing journalled.
    """
    chosen = seats(config.models, spec.models)
    cache, offline = AnswerCache(workspace.cache), offline_analysts()
    real = any(seat.provider != offline.name for seat in chosen.values())
    ledger = SharedLedger(workspace.cache, say=say_line) if real else None
    charges = Charges(Prices(config.models.prices), config.models.max_usd_per_call, ledger, say_line)
    estimate = Estimate(charges, chosen)
    journal = Journal(workspace.out / "logs" / "llm") if real else None
    budget = Budget(spec.max_cost, max_usd_per_day=config.models.max_usd_per_day, ledger=ledger)
    limits = Limits.for_seats(chosen.values(), config.models.limits, ledger)
    gateway = Gateway(
        cache,
        providers_for(chosen, offline, charges.charge),
        budget=budget,
        mode=spec.mode,
        estimate_usd=estimate,
        limiter=FirstAhead(
            FairQueue(limits, budget, estimate, charges.find_untried, charges.at_worst), charges.prices.discounts
        ),
        journal=journal,
    )
    with asyncio.Runner() as loop:
        asking = Asking(gateway, chosen, tuple(config.accounts.accounts), loop, estimate, config=config)
        try:
            yield asking
        finally:
            asking.drain(SECONDS_AFTER_STOP)
            budget.close()
            if journal is not None:
                journal.close()
            cache.close()


def open_opinions(spec: RunSpec, workspace: Workspace, gateway: Gateway) -> KeptOpinions | None:
    """Return the opinions kept in the workspace; None where every question is to be put, whatever is stored."""
    if spec.cache not in ("record", "replay", "verify-opinions"):
        return None
    code = digest_of([code_digest(), dict(packages()), platform.python_version()])
    verify = spec.cache == "verify-opinions"
    return KeptOpinions(OpinionStore(workspace.cache, gateway), gateway, code, verify)
