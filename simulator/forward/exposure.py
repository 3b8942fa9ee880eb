"""Exposure of an account after a trade, held against the risk rules: weight, group, gross, buying power.

book, orders that go at once ──► Room ─┐
trades that wait or were approved ─────┼──► Room.after(position) ──► Exposure ──► broken: the first rule above its limit
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import fsum, inf

from simulator.trading.risk import Entry, EntryRules, Limits

TOLERANCE = 0.02
"""Fraction of a limit by which it may be exceeded: prices have moved since the order was sized."""


@dataclass(frozen=True)
class Exposure:
    """Fractions of equity in the symbol, in its group and in all together after a trade, each with its limit, and the
    dollars that could be bought with what is left."""

    weight: float
    group: float
    gross: float
    buying_power: float
    limits: tuple[float, float, float]
    binding: tuple[tuple[float, float], ...] = ()
    """Weight, group and gross, each with the limit that binds first: of the risk rules, or of the strategy's own, whose
    sector takes the place of the group where that is nearer to its limit."""

    @property
    def broken(self) -> str:
        """The rule that is broken, by its name in ``config/risk.yaml``, with its numbers; empty where none is."""
        rules = zip(("max_weight", "max_group", "max_gross"), (abs(self.weight), self.group, self.gross), strict=True)
        for (name, reached), limit in zip(rules, self.limits, strict=True):
            if reached > limit * (1.0 + TOLERANCE):
                return f"{name}: {reached:.1%} of equity is above the {limit:.1%} that the risk rules allow"
        return "" if self.buying_power >= 0.0 else f"buying power: ${-self.buying_power:,.0f} are missing"


@dataclass(frozen=True)
class Room:
    """Room that an account has for a trade on `symbol`.

    `others` are the signed dollars in every other symbol once what never waits is done, `members` the other symbols of
    its group that are held or traded, `limits` max_weight, max_group and max_gross, `margins` the dollars of equity
    that a dollar of position needs, long and short.
    """

    symbol: str
    others: Mapping[str, float]
    members: tuple[str, ...]
    limits: tuple[float, float, float]
    margins: tuple[float, float] = (1.0, 0.5)

    @classmethod
    def of(
        cls, symbol: str, held: Mapping[str, float], limits: Limits, margins: tuple[float, float],
        traded: Collection[str] = (),
    ) -> Room:  # fmt: skip
        """Return the room beside positions of `held` dollars; `traded` are the symbols that are ordered with it."""
        others = {name: worth for name, worth in held.items() if name != symbol and worth}
        mine = limits.groups.get(symbol)
        among = {*others, *traded} - {symbol}
        members = tuple(sorted(name for name in among if mine is not None and limits.groups.get(name) == mine))
        return cls(symbol, others, members, (limits.max_weight, limits.max_group, limits.max_gross), margins)

    def after(
        self, position: float, equity: float, beside: Mapping[str, float], rules: EntryRules | None = None
    ) -> Exposure:
        """Return the exposure with `position` dollars of the symbol; `beside` are dollars of further symbols, in the
        place of what is held of them, `rules` those of the strategy."""
        whole = {**self.others, **beside, self.symbol: position}
        in_group = fsum(abs(worth) for name, worth in whole.items() if name == self.symbol or name in self.members)
        gross = fsum(abs(worth) for worth in whole.values())
        long, short = self.margins
        bound = fsum(abs(worth) * (long if worth > 0.0 else short) for worth in whole.values())
        if equity <= 0.0:
            return Exposure(inf, inf, inf, -gross, self.limits, tuple((inf, one) for one in self.limits))
        power = (equity - bound) / (long or 1.0)
        power = max(power, 0.0) if bound <= equity * (1.0 + TOLERANCE) else power
        weight, group, all_of_it = zip((position / equity, in_group / equity, gross / equity), self.limits, strict=True)
        if rules is not None:
            sector = self._in_sector(whole, rules) / equity, rules.sector
            weight = weight[0], min(weight[1], rules.position)
            group = max(group, sector, key=lambda one: one[0] / one[1] if one[1] else inf)
        found = position / equity, in_group / equity, gross / equity
        return Exposure(*found, power, self.limits, (weight, group, all_of_it))

    def _in_sector(self, whole: Mapping[str, float], rules: EntryRules) -> float:
        return fsum(abs(whole.get(name, 0.0)) for name in {self.symbol, *rules.peers})

    def find_broken(
        self, rules: EntryRules, position: float, equity: float, beside: Mapping[str, float],
        shares: float, at: float, stop: float | None,
    ) -> str:  # fmt: skip
        """Return the rule of the strategy that an entry of `shares` at the price `at` breaks, by its name and with its
        numbers; empty where none is. `position` are the dollars after it."""
        if stop is None:
            return "stop: the strategy enters with one"
        whole = {**self.others, **beside, self.symbol: position}
        entry = Entry(shares, at, stop, position, self._in_sector(whole, rules), equity)
        for name, value, most, of in (
            ("stop", entry.width, rules.stop, "of the price"),
            ("risk", entry.risk, rules.risk, "of equity down to the stop"),
            ("position", entry.weight, rules.position, "of equity"),
            ("sector", entry.sector_weight, rules.sector, "of equity"),
        ):
            if value > most * (1.0 + TOLERANCE):
                return f"{name}: {value:.1%} {of} is above the {most:.1%} that the strategy allows"
        return ""
