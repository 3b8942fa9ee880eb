"""Limits on what a strategy may ask for. A pure function from a Decision to the Decision that is allowed.

The arithmetic stands once, in `make_limiter`: here it runs as plain Python, in the replay kernel compiled, so that
limits can be swept over a tape without Python. It imports no compiler, for decisions made live need none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import copysign, fsum, inf, isfinite

import numpy as np
from numpy.typing import NDArray

from simulator.config import Assets, Risk
from simulator.errors import UsageError
from simulator.trading.execution import refuse_impossible
from simulator.trading.model import Book, Decision

Numbers = list[float] | NDArray[np.float64]
Codes = list[int] | NDArray[np.int64]

ExactSum = Callable[[Numbers, Codes, int, Numbers], float]
"""Called with (values, groups, group, room to work in): the sum of |values| of that group, or of all where it is -1,
rounded once. Rounded once, a sum does not depend on the order of its terms, which differs between book and kernel."""

Limiter = Callable[[Numbers, Codes, Numbers, Codes, tuple[float, float, float], Numbers, Numbers, Numbers], None]


@dataclass(frozen=True)
class Limits:
    """Largest |weight| of one symbol, of one group, and of all together; group of each symbol; symbols whose shares
    cannot be borrowed."""

    max_weight: float
    max_group: float
    max_gross: float
    groups: Mapping[str, str]
    unshortable: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        caps = (("max_weight", self.max_weight), ("max_group", self.max_group), ("max_gross", self.max_gross))
        refuse_impossible(caps, "config/risk.yaml")

    @classmethod
    def from_config(cls, risk: Risk, assets: Assets) -> Limits:
        """A symbol that `config/assets.yaml` does not name is a group of its own."""
        groups = {symbol: asset.group for symbol, asset in assets.assets.items()}
        unshortable = frozenset(symbol for symbol, asset in assets.assets.items() if not asset.shortable)
        return cls(risk.max_weight, risk.max_group, risk.max_gross, groups, unshortable)


@dataclass(frozen=True)
class EntryRules:
    """Rules that a strategy keeps for its entries on one symbol, whatever a person makes of them.

    Largest fraction of equity at `risk` down to the stop, in the `position`, and in the `sector`, whose other symbols
    are `peers`; largest fraction of the price down to the `stop`, without which nothing is entered.
    """

    risk: float
    position: float
    sector: float
    stop: float
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """An entry as rules see it: signed `shares` at `price`, with a `stop` or without, and dollars in the `position` and
    in all of its `sector` after it, of `equity` dollars (> 0)."""

    shares: float
    price: float
    stop: float | None
    position: float
    sector: float
    equity: float

    @property
    def width(self) -> float:
        """Fraction of the price down to the stop, of a short sale up to it; negative beyond it, infinite without."""
        return inf if self.stop is None else copysign(1.0, self.shares) * (1.0 - self.stop / self.price)

    @property
    def risk(self) -> float:
        """Fraction of equity that is lost at the stop."""
        return inf if self.stop is None else (self.price - self.stop) * self.shares / self.equity

    @property
    def weight(self) -> float:
        """Fraction of equity in the position."""
        return abs(self.position) / self.equity

    @property
    def sector_weight(self) -> float:
        """Fraction of equity in the sector."""
        return self.sector / self.equity


def make_limiter(exact_sum: ExactSum) -> Limiter:
    """Return the function that cuts weights to limits, resting on `exact_sum`. It allocates nothing."""

    def limit_weights(
        weights: Numbers,
        groups: Codes,
        others: Numbers,
        groups_of_others: Codes,
        caps: tuple[float, float, float],
        asked: Numbers,
        room: Numbers,
        partials: Numbers,
    ) -> None:
        """Cut the M `weights` in place: each alone, then each of the G groups pro rata, then everything pro rata.

        `others` are the weights of positions that are left alone: they take up room and are not cut. `caps` are the
        largest |weight| of a symbol, of a group, of all. Into `asked` and `room` (G + 1 each, the last for all) go the
        gross weight and the room for it; 0 into `asked` where nothing was cut.
        """
        largest, largest_group, largest_gross = caps
        for i in range(len(weights)):
            if abs(weights[i]) > largest:
                weights[i] = largest if weights[i] > 0 else -largest
        last = len(asked) - 1
        for g in range(last + 1):
            group, cap = (g, largest_group) if g < last else (-1, largest_gross)
            room[g] = max(cap - exact_sum(others, groups_of_others, group, partials), 0.0)
            gross = exact_sum(weights, groups, group, partials)
            asked[g] = 0.0
            # A cut to exactly the room adds up to a hair more or less of it: that is not cut again.
            if gross == 0.0 or gross <= room[g] * (1 + 1e-12):
                continue
            asked[g] = gross
            share = room[g] / gross
            for i in range(len(weights)):
                if group < 0 or groups[i] == group:
                    weights[i] *= share

    return limit_weights


class _Groups(list[int]):
    """The group of each weight; `members` are the places of each group's: all of them are summed in one pass."""

    def __init__(self, codes: Iterable[int]) -> None:
        super().__init__(codes)
        self.members: dict[int, list[int]] = {}
        for place, code in enumerate(self):
            self.members.setdefault(code, []).append(place)


def _sum(values: Numbers, groups: Codes, group: int, _: Numbers) -> float:
    if group < 0 or not isinstance(groups, _Groups):
        return fsum(abs(value) for value, g in zip(values, groups, strict=True) if group < 0 or g == group)
    return fsum(abs(values[place]) for place in groups.members.get(group, ()))


_limit_weights = make_limiter(_sum)


def limit(decision: Decision, book: Book, limits: Limits) -> tuple[Decision, tuple[str, ...]]:
    """Return the decision with its weights cut to `limits`, and a sentence per cut.

    Order: shorts of what cannot be borrowed to nothing, each symbol alone, then each group pro rata, then everything
    pro rata. Positions without a target count at their present weight and are not cut: leaving a position alone is not
    an order. Raises UsageError for a weight that is NaN or infinite.
    """
    for target in decision.targets:
        # Compared with a limit NaN is below any, and infinity would be cut to a whole position.
        if isinstance(target.weight, str | None) or not isfinite(target.weight):
            raise UsageError(f"weight of {target.symbol} was {target.weight}", mend="give a finite fraction of equity")
    if denied := [t for t in decision.targets if t.weight < 0.0 and t.symbol in limits.unshortable]:
        targets = tuple(replace(t, weight=0.0) if t in denied else t for t in decision.targets)
        allowed, others_cut = limit(replace(decision, targets=targets), book, limits)
        return allowed, (*(f"{t.symbol} {t.weight:+.4f} cut to +0.0000: not shortable" for t in denied), *others_cut)
    wanted = {t.symbol: t.weight for t in decision.targets}
    sizes = [abs(weight) for weight in wanted.values()]
    smallest = min(limits.max_group, limits.max_gross)
    # What all hold together no group exceeds: of very many symbols few decisions need a look at each group.
    if not book.positions and fsum(sizes) <= smallest and max(sizes, default=0.0) <= limits.max_weight:
        return decision, ()
    others = [s for s, held in book.positions.items() if held and s not in wanted]
    names = sorted({limits.groups.get(s, s) for s in wanted})
    code = {name: number for number, name in enumerate(names)}
    groups, groups_of_others = (
        _Groups(code.get(limits.groups.get(s, s), -1) for s in which) for which in (wanted, others)
    )
    weights = list(wanted.values())
    asked, room = [0.0] * (len(names) + 1), [0.0] * (len(names) + 1)
    caps = limits.max_weight, limits.max_group, limits.max_gross
    _limit_weights(weights, groups, [book.weight(s) for s in others], groups_of_others, caps, asked, room, [])

    largest = limits.max_weight
    cuts = [
        f"{symbol} {weight:+.4f} cut to {largest if weight > 0 else -largest:+.4f}: max_weight"
        for symbol, weight in wanted.items()
        if abs(weight) > largest
    ]
    rules = [*(f"group {name}: max_group" for name in names), "all positions: max_gross"]
    cuts += [
        f"{rule}: gross {gross:.4f} cut to {there:.4f}"
        for rule, gross, there in zip(rules, asked, room, strict=True)
        if gross
    ]
    if not cuts:
        return decision, ()
    left = dict(zip(wanted, weights, strict=True))
    fitting = tuple(t if t.weight == left[t.symbol] else replace(t, weight=left[t.symbol]) for t in decision.targets)
    return replace(decision, targets=fitting), tuple(cuts)
