"""Dollars that answers are charged: what services tell, held against the table of prices, remembered for what is asked
next.

    estimate(request) ─► most it may cost ─► asked ─► charge(tokens, told) ─► dollars to book
         ▲                                               │ more than the table says
         └────────── times what was told before ◄────────┘

    told                                        booked
    nothing                                     tokens × price
    up to 20 × the table's most                 as told
    more, below 0, NaN, infinite                the larger of tokens × price and what was set aside; said
    where the table has no price: up to most    as told
                                  more          that most; said, and the model is asked no more
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from simulator.errors import BudgetError, ConfigError
from simulator.llm.messages import ChatRequest
from simulator.llm.spending.prices import OFFLINE, WHERE, ModelAtService, Prices
from simulator.llm.spending.shared_ledger import SharedLedger, ignore
from simulator.llm.spending.usage import is_amount

BELIEVED = 20.0
"""Times the most that the table says a question can cost, up to which a service is believed."""


class StoppedModelError(BudgetError):
    """A model that charged a price nobody agreed to."""


@dataclass
class Charges:
    """Charges of one run.

    Attributes
    ----------
    prices : the table
    max_usd : most that one answer is booked with where the table has no price
    ledger : remembers for two days what was charged above the table, for the runs that come after
    say : gets a line for every kind of cost that was not believed
    """

    prices: Prices
    max_usd: float = 5.0
    ledger: SharedLedger | None = None
    say: Callable[[str], None] = ignore
    _most: dict[str, float] = field(default_factory=dict, init=False)
    _read_at: dict[str, float] = field(default_factory=dict, init=False)
    _stopped: dict[tuple[str, str], StoppedModelError] = field(default_factory=dict, init=False)
    _said: set[tuple[str, str, str]] = field(default_factory=set, init=False)

    def estimate(self, request: ChatRequest) -> tuple[float, float]:
        """(likely, at most) dollars of a question: by the table, or more where the service charged more.

        Raises StoppedModelError for a model that is asked no more, ConfigError for one without a known price.
        """
        if request.provider == OFFLINE:
            return 0.0, 0.0
        if (stopped := self._stopped.get((request.endpoint, request.model))) is not None:
            raise stopped
        likely, most = self.prices.estimate(request)
        return self._set_aside(request, likely), self._set_aside(request, most)

    def at_worst(self, request: ChatRequest) -> float:
        """Dollars up to which the service is believed; 0 where it was seen to charge no more than the table says."""
        most, seen = self.prices.estimate(request)[1], self._find_highest(self._name(request))
        return 0.0 if most and seen is not None and seen <= 1.0 else BELIEVED * most or self.max_usd

    def find_untried(self, request: ChatRequest) -> str:
        """Name of a model of which nobody knows yet whether it costs what the table says; empty for any other."""
        name = "" if request.provider == OFFLINE else self._name(request)
        return name if name and self._find_highest(name) is None else ""

    def charge(
        self,
        request: ChatRequest,
        prompt_tokens: int,
        completion_tokens: int,
        told: float | None = None,
        cached: int = 0,
        written: int = 0,
    ) -> float:
        """Dollars to book for an answer of which the service stated the cost `told`; finite and not below 0."""
        name, most = self._name(request), self.prices.estimate(request)[1]
        counted = self.prices.cost(request, prompt_tokens, completion_tokens, cached, written)
        usd = counted if told is None else told
        # A service may state any number. Beyond belief it would end the run, below 0 refill it: what was set aside is
        # booked instead. Where no price is known it is believed up to `max_usd`; beyond, the model is asked no more.
        if told is not None and not (is_amount(told) and (not most or told <= BELIEVED * most)):
            usd = max(counted, self._set_aside(request, most))
            self._report(request, "unbelieved", f"told a cost of ${told:,.6g} for one answer, booked are ${usd:,.4f}")
        elif told is not None and not most and told > self.max_usd:
            usd = self.max_usd
            found = f"told a cost of ${told:,.2f} for one answer and has no price: ${usd:,.2f} were booked"
            mend = f"give it a price there, or raise max_usd_per_call ({self.max_usd:g})"
            self._stopped[request.endpoint, request.model] = StoppedModelError(
                f"{request.model} {found}", where=WHERE, mend=mend
            )
            self._report(request, "stopped", f"{found}, and it is asked no more in this run")
        more, seen = usd / most if most else usd, self._find_highest(name)
        if seen is None or more > seen:
            self._most[name] = more
            if self.ledger is not None:
                self.ledger.remember_charge(name, more)
        return usd

    def _name(self, asked: ModelAtService) -> str:
        """Model, service and price in the table: another price there begins anew.

        Models without a price are one: what one of them was charged, the others at that service may be too.
        """
        price = self.prices.price(asked)
        model = asked.model if price.input or price.output else "*"
        return f"{asked.provider}|{asked.endpoint}|{model}|{price.input:g}|{price.output:g}"

    def _set_aside(self, request: ChatRequest, usd: float) -> float:
        """`usd` of the table times what was seen above it; what was seen itself where the table has no price.

        For a model of which nothing was seen, what was seen at most of the others at that service counts.
        """
        seen = self._find_highest(self._name(request))
        if not usd:
            return seen or 0.0
        return usd * max(1.0, self._find_highest_elsewhere(request) if seen is None else seen)

    def _find_highest_elsewhere(self, request: ChatRequest) -> float:
        """Most times the table that other models of the service were charged, at their prices of now."""
        service = f"{request.provider}|{request.endpoint}|"
        told = {name: more for name, more in self._most.items() if name.startswith(service)}
        for name, more in (self.ledger.charged_at(service) if self.ledger is not None else {}).items():
            told[name] = max(more, told.get(name, 0.0))
        return max((more for name, more in told.items() if self._is_beside(request, name, service)), default=0.0)

    def _is_beside(self, request: ChatRequest, name: str, service: str) -> bool:
        model = name.removeprefix(service).rsplit("|", 2)[0]
        try:
            return model != "*" and name == self._name(replace(request, model=model))
        except ConfigError:
            return False

    def _find_highest(self, name: str) -> float | None:
        """Times the table's most, or dollars where it has no price, that an answer was charged; None before any was.

        What other processes of the workspace were charged is looked up ten times a second, and until it is known.
        """
        now = time.monotonic()
        late = name not in self._most or now - self._read_at.get(name, -math.inf) > 0.1
        if self.ledger is not None and late:
            self._read_at[name] = now
            told = [one for one in (self._most.get(name), self.ledger.most_charged(name)) if one is not None]
            if told:
                self._most[name] = max(told)
        return self._most.get(name)

    def _report(self, request: ChatRequest, kind: str, what: str) -> None:
        if (about := (request.endpoint, request.model, kind)) not in self._said:
            self._said.add(about)
            self.say(f"{request.model} at {request.endpoint or request.provider} {what}")
