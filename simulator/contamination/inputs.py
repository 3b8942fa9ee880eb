"""Do decisions use what they are shown? Price and news facts turned upside down, and the same questions asked again.

unchanged when signs are flipped  ≈  unchanged between replicates   ─►  "decisions barely use their inputs"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.contamination.case import Case
from simulator.contamination.disguise import Shown, mirror
from simulator.contamination.results import Figure, Result
from simulator.contamination.words import percent
from simulator.number_format import ratio
from simulator.runs.replicates import replicate_of
from simulator.stats.mean import mean_of
from simulator.stats.metrics import PERIODS, sharpe
from simulator.stats.series import Floats, Undefined

CLOSE = 0.05
"""Shares of unchanged decisions this close to each other are taken as one."""

REPLICATES = 3
"""Draws of the replicates check, the run's own included; more where the run has more."""

Wants = tuple[dict[str, float], ...]


@dataclass(frozen=True, eq=False)
class Flipped:
    """Opinions on the market as it was, upside down, and as it was once more (None where nobody is a model)."""

    as_run: Mapping[int, Any]
    flipped: Mapping[int, Any]
    again: Mapping[int, Any] | None


async def ask_flipped(case: Case) -> Flipped:
    again = await case.opine(replicate_of(case.strategy, 1)) if case.asks_models else None
    flipped = await case.opine(Shown(case.strategy, mirror))
    return Flipped(await case.opine(case.strategy), flipped, again)


def judge_flipped(case: Case, asked: Flipped) -> Result:
    """Flagged where the share of decisions unchanged by flipped facts is within 0.05 of that between replicates, or
    above it. A decision is the weights weights at a meeting; without a model replicates are all the same."""
    weights = case.wants(case.strategy, asked.as_run)
    flipped = _same(weights, case.wants(Shown(case.strategy, mirror), asked.flipped))
    again = np.ones(len(weights))
    if asked.again is not None:
        again = _same(weights, case.wants(replicate_of(case.strategy, 1), asked.again))
    gap, shares = mean_of(again - flipped), (mean_of(flipped), mean_of(again))
    figures = (
        Figure("unchanged when signs are flipped", shares[0].value, "share", shares[0].low, shares[0].high),
        Figure("unchanged between replicates", shares[1].value, "share", shares[1].low, shares[1].high),
        Figure("difference", gap.value, "share", gap.low, gap.high, gap.p),
        Figure("meetings", len(weights), "count"),
    )
    notes = () if asked.again is not None else ("nobody in it is a model: replicates are all the same",)
    stay, alike = (percent(share.value, 0) for share in shares)
    compared = f"{stay} of decisions stay when the facts are turned upside down, {alike}"
    if barely_used(flipped, again):
        sentence = f"FLAGGED: {compared} when they are not: decisions barely use their inputs."
        return Result("flagged", sentence, figures, notes)
    return Result("passed", f"{compared} when the same is asked again: decisions use their inputs.", figures, notes)


def barely_used(flipped: Floats, again: Floats) -> bool:
    """Return whether decisions stay (n,) under flipped facts as often as between replicates, or nearly."""
    return float(np.mean(again - flipped)) <= CLOSE


async def ask_replicates(case: Case) -> tuple[Mapping[int, Any], ...]:
    count = max(REPLICATES, int(case.facts["replicates"]["count"]))
    return tuple([await case.opine(replicate_of(case.strategy, number)) for number in range(count)])


def judge_replicates(case: Case, opinions: Sequence[Mapping[int, Any]]) -> Result:
    """Return how far one replicate carries: Sharpe ratio and decisions over several."""
    replicates = [replicate_of(case.strategy, number) for number in range(len(opinions))]
    weights = [case.wants(strategy, opinion) for strategy, opinion in zip(replicates, opinions, strict=True)]
    paths = [
        case.returns(case.play(strategy, case.at_meetings, opinion))
        for strategy, opinion in zip(replicates, opinions, strict=True)
    ]
    ratios = [one for path in paths if (one := _sharpe(path, case.free)) is not None]
    kept = mean_of(np.mean([_same(weights[0], other) for other in weights[1:]], axis=0))
    figures = [Figure("decisions the same as in the first draw", kept.value, "share", kept.low, kept.high)]
    figures += [Figure(f"draw {n}: Sharpe", _sharpe(path, case.free), "Sharpe") for n, path in enumerate(paths)]
    notes = ("every draw decides at the run's meetings only, without checkpoints",)
    if len(ratios) < 2:
        same = f"{percent(kept.value, 0)} of decisions are the same"
        sentence = f"Over {len(paths)} draws {same}; the Sharpe ratio is not defined."
        return Result("shown", sentence, tuple(figures), notes)
    spread = float(np.std(ratios, ddof=1))
    figures.insert(1, Figure("standard deviation of the Sharpe ratio over draws", spread, "Sharpe"))
    between = f"{ratio(min(ratios))} to {ratio(max(ratios))} (sd {ratio(spread)})"
    sentence = (
        f"Over {len(paths)} draws the Sharpe ratio is {between}; "
        f"{percent(kept.value, 0)} of decisions are the same as in the first."
    )
    return Result("shown", sentence, tuple(figures), notes)


def _same(first: Wants, second: Wants) -> Floats:
    """(K,) 1 where two decided the same, else 0."""
    return np.array([float(a == b) for a, b in zip(first, second, strict=True)])


def _sharpe(returns: Floats, free: Floats) -> float | None:
    ratio = sharpe(returns, free, PERIODS)
    return None if isinstance(ratio, Undefined) else ratio
