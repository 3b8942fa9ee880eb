"""Review of trades that wait, for the person who is asked: the price now beside the price then, and what forbids them.

heartbeat of the loop: newest quotes ──┐
approval.asked: sizes, price then ─────┴──► review ──► the page, `sim forward approvals`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from simulator.forward.approvals import Approval, StaleError, beside, change_all, forbids
from simulator.forward.exposure import Exposure
from simulator.forward.quotes import read_quotes
from simulator.forward.settings import load_settings
from simulator.forward.switches import Heartbeat, read_heartbeats
from simulator.workspace import Workspace


@dataclass(frozen=True)
class PriceNow:
    """Newest price that is known, dollars; `at` is its instant, ISO, `age_s` its seconds since. `is_old` where an order
    would not rest on it."""

    price: float
    at: str
    age_s: float
    is_old: bool


@dataclass(frozen=True)
class Review:
    """Facts that a person is shown beside a trade: the price now, None where none is known; its change since the price
    then, as a fraction; {account: rule that forbids the order at that price}, empty for what is within its rules."""

    now: PriceNow | None = None
    change: float | None = None
    forbidden: Mapping[str, str] = field(default_factory=dict)
    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    """Of each account after the trade; without those that an earlier version asked for."""

    @property
    def price(self) -> float | None:
        return None if self.now is None else self.now.price


def read_prices(heart: Heartbeat, stale_s: float, now: datetime) -> dict[str, PriceNow]:
    """Return the prices that a loop wrote last, by symbol. Its clock, which may be a rehearsal's, counts on by the
    seconds of this machine's since then; it was no earlier than the newest price that it knew."""
    quotes, since = read_quotes(heart.prices), heart.age_s(now)
    told = max([datetime.fromisoformat(heart.now), *(one.at for one in quotes.values())])
    ages = {symbol: ((told - one.at).total_seconds() + since, one) for symbol, one in quotes.items()}
    return {
        symbol: PriceNow(one.price, one.at.isoformat(), age, age > stale_s)
        for symbol, (age, one) in ages.items()
        if one.price > 0.0
    }


def review(workspace: Workspace, trades: Collection[Approval], now: datetime | None = None) -> dict[str, Review]:
    """Return the review of each trade that waits, by its id."""
    at, stale_s = now or datetime.now(UTC), load_settings(workspace.config).stale_quote_s
    prices = {one.run: read_prices(one, stale_s, at) for one in read_heartbeats(workspace)}
    decided = defaultdict(list)
    for one in trades:
        decided[one.run, one.decided_at].append(one)
    waiting = [one for one in trades if one.state == "waiting"]
    return {
        one.id: _review(one, decided[one.run, one.decided_at], prices.get(one.run, {}).get(one.symbol))
        for one in waiting
    }


def preview(
    workspace: Workspace, trades: Collection[Approval], id: str, version: int, changes: Mapping[str, float]
) -> tuple[Approval, Review]:
    """Return a trade as it would be with `changes`, and its review. Raises StaleError where it is not asked in that
    version any more, UsageError for changes that cannot be."""
    found = next((one for one in trades if one.id == id and one.state == "waiting"), None)
    if found is None or found.version != version:
        raise StaleError("it has changed meanwhile", mend="look at it again")
    changed = replace(found, sizes=change_all(found.sizes, changes))
    return changed, review(workspace, [changed, *(one for one in trades if one.id != id)])[id]


def _review(asked: Approval, trades: Collection[Approval], now: PriceNow | None) -> Review:
    price, forbidden, exposures = asked.price_then if now is None else now.price, {}, {}
    for name, staged in asked.sizes.items():
        others = beside(asked, name, trades)
        if why := forbids(staged, price, others):
            forbidden[name] = why
        if price is not None and (after := staged.exposure(price, others)) is not None:
            exposures[name] = after
    moved = now.price / asked.price_then - 1.0 if now is not None and asked.price_then else None
    return Review(now, moved, forbidden, exposures)
