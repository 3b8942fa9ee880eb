"""Limits on what a strategy may ask for. A pure function from a Decision to the Decision that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import fsum

from simulator.config import Assets, Risk
from simulator.trading.model import Book, Decision, Target


@dataclass(frozen=True)
class Limits:
    """Largest |weight| of one symbol, of one group, and of all together; group of each symbol."""

    max_weight: float
    max_group: float
    max_gross: float
    groups: Mapping[str, str]

    @classmethod
    def from_config(cls, risk: Risk, assets: Assets) -> Limits:
        """A symbol that `config/assets.yaml` does not name is a group of its own."""
        groups = {symbol: asset.group for symbol, asset in assets.assets.items()}
        return cls(risk.max_weight, risk.max_group, risk.max_gross, groups)


def limit(decision: Decision, book: Book, limits: Limits) -> tuple[Decision, tuple[str, ...]]:
    """The decision with its weights cut to `limits`, and a sentence per cut.

    Order: each symbol alone, then each group pro rata, then everything pro rata. Positions without a target count at
    their present weight and are not cut: leaving a position alone is not an order.
    """
    weights = {t.symbol: t.weight for t in decision.targets}
    cuts: list[str] = []

    for symbol, weight in weights.items():
        if abs(weight) > limits.max_weight:
            weights[symbol] = limits.max_weight if weight > 0 else -limits.max_weight
            cuts.append(f"{symbol} {weight:+.4f} cut to {weights[symbol]:+.4f}: max_weight")

    untouched = {s: abs(book.weight(s)) for s, held in book.positions.items() if held and s not in weights}
    for group in sorted({limits.groups.get(s, s) for s in weights}):
        members = [s for s in weights if limits.groups.get(s, s) == group]
        room = limits.max_group - fsum(w for s, w in untouched.items() if limits.groups.get(s, s) == group)
        _shrink(weights, members, room, f"group {group}: max_group", cuts)
    _shrink(weights, list(weights), limits.max_gross - fsum(untouched.values()), "all positions: max_gross", cuts)

    if not cuts:
        return decision, ()
    allowed = tuple(_with_weight(t, weights[t.symbol]) for t in decision.targets)
    return replace(decision, targets=allowed), tuple(cuts)


def _shrink(weights: dict[str, float], members: list[str], room: float, rule: str, cuts: list[str]) -> None:
    asked = fsum(abs(weights[s]) for s in members)
    if not asked or asked <= room * (1 + 1e-12):
        return
    share = max(room, 0.0) / asked
    for symbol in members:
        weights[symbol] *= share
    cuts.append(f"{rule}: gross {asked:.4f} cut to {max(room, 0.0):.4f}")


def _with_weight(target: Target, weight: float) -> Target:
    return target if weight == target.weight else replace(target, weight=weight)
