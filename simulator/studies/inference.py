"""Conclusions from all members of a sweep, block by block, of d: what each earned beyond its own usual exposure.

    Members ──► reality check, step-down, effective number (stats/many.py: one pass)    ──► p of each member
            ├─► block sums ──► probability of backtest overfitting (stats/overfitting.py)
            └─► the best   ──► model confidence set (stats/selection.py)

Memory holds a few numbers a member and one block; nothing depends on how members are cut into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.verdict import FEWEST_DECISIONS, SIGNIFICANT
from simulator.evidence.sweep_records import (
    ConfidenceSetRecord,
    OverfittingRecord,
    RatioRecord,
    SweepCounts,
    SweepInference,
)
from simulator.market.bars import Floats
from simulator.stats.bootstrap import block_length
from simulator.stats.inference import deflated_sharpe, expected_maximum, minimum_backtest_length
from simulator.stats.many import MOST_FOR_LENGTH, Many, Resampling, compare_many, evenly, varying
from simulator.stats.metrics import PERIODS, kurtosis, skew
from simulator.stats.overfitting import BlockSums, overfitting_of
from simulator.stats.selection import model_confidence_set
from simulator.stats.series import Measure, Undefined, split
from simulator.stats.skill import deflated_ratio, p_of_all, p_values

ROOT = math.sqrt(PERIODS)

DRAWS, FEWEST_DRAWS, ALL_DRAWS = 10_000, 1_000, 2_000_000
"""Replicates of few members, of very many, and those of all members together in between."""

FLOOR = 0.1
"""Adjusted p below which a member's own p, as one trial, is asked as well."""

MOST_IN_SET, BEST_IN_SET, SET_LEVEL = 2_000, 200, 0.10
"""Members up to which the confidence set looks at all, of more at so many of the smallest p."""

MOST_SPLITS, SESSIONS_A_BLOCK, MOST_IN_TABLES = 16, 10, 32_000_000
"""Blocks that CSCV cuts history into at most, their least length, and numbers in each of its tables at most."""


@dataclass(frozen=True, eq=False)
class Members:
    """N members as their chunks have them.

    Attributes
    ----------
    blocks : gives d, (n, S) each, in the order of the members, as often as it is called; NaN where a member failed
    levels : (N,) what a change of level earned, per session
    decisions, held, failed : (N,) sessions with decisions; whether anything but cash was held; whether it failed
    sharpe : (N,) a year's, over cash; NaN where undefined
    """

    blocks: Callable[[], Iterable[Floats]]
    levels: Floats
    decisions: Floats
    held: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    sharpe: Floats


@dataclass(frozen=True, eq=False)
class Inference:
    """Conclusions as study.json has them, and a row per member: the columns of inference.parquet."""

    record: SweepInference
    counts: SweepCounts
    columns: Mapping[str, Floats]


def infer(members: Members, seed: int = 0, judged_from: str | None = None) -> Inference:
    """Return the conclusions. `judged_from` is the first session of `members`, where earlier ones may be remembered.

    Raises DataError where no member has returns that vary.
    """
    count = len(members.levels)
    draws = min(max(ALL_DRAWS // count, FEWEST_DRAWS), DRAWS)
    lengths = [block_length(row) for row in _rows(members, evenly(count, MOST_FOR_LENGTH))]
    how = Resampling(draws, float(np.mean(lengths)) if lengths else 1.0, seed)
    # Nearly idle ones have vast ratios: none can be the best, so none sets the bar.
    able = (members.decisions >= FEWEST_DECISIONS) & members.held & ~members.failed
    many = compare_many(members.blocks(), how, members.levels, able if able.any() else None)
    if not many.null.size:  # those that are able do not vary
        many = compare_many(members.blocks(), how, members.levels)
    p = adjusted_p(members, many)
    ready = np.isfinite(many.ratio) & able
    judged = ready if ready.any() else np.isfinite(many.ratio)
    # The smallest p, among equals the largest ratio, then the first, of those with enough decisions if there are any.
    among = np.flatnonzero(judged)
    best = int(among[np.lexsort((among, -many.ratio[among], p[among]))[0]]) if among.size else 0
    confidence, included = _confidence_set(members, many, p, how, among)
    overfitting = _overfitting(members, judged)
    ratios = _ratios(members, many, best, judged)
    if isinstance(overfitting, Undefined):
        ratios["reasons"] = {**ratios["reasons"], "overfitting": overfitting.reason}
    record: SweepInference = {
        "members": count,
        "effective": many.effective,
        "draws": draws,
        "block": how.block or 1.0,
        "seed": seed,
        "judged_from": judged_from,
        "best": best,
        "p": float(p[best]),
        "significant": int((p[ready] < SIGNIFICANT).sum()),
        "reality_check_best": many.best,
        "reality_check_p": many.p_best,
        **ratios,
        "null_best": _quantiles(many.null * ROOT),
        "null_t": _quantiles(many.null_t),
        "overfitting": None if isinstance(overfitting, Undefined) else overfitting,
        "confidence_set": confidence,
    }
    few = members.held & (members.decisions < FEWEST_DECISIONS)
    counts: SweepCounts = {
        "members": count,
        "failed": int(members.failed.sum()),
        "idle": int((~members.held & ~members.failed).sum()),
        "few_decisions": int(few.sum()),
        "tested": int(ready.sum()),
    }
    return Inference(record, counts, {"ratio": many.ratio * ROOT, "t": many.t, "p": p, "in_mcs": included})


def adjusted_p(members: Members, many: Many) -> Floats:
    """Return (N,) p of each member: the largest of the step-downs of t, of the ratio, and, at the share it counts for,
    of the ratio without the reward of a change of level; and no less than its own p as one trial, where that could
    matter."""
    p = p_of_all(many, members.levels)
    asked, first = p < FLOOR, 0
    for rows in members.blocks() if asked.any() else ():
        here = np.flatnonzero(asked[first : first + len(rows)])
        if here.size:
            p[first + here] = np.maximum(p[first + here], p_values(rows[here], members.levels[first + here]))
        first += len(rows)
    return p


def _rows(members: Members, numbers: Iterable[int]) -> Floats:
    """(n, S) d of the members of those numbers, ascending, that vary."""
    wanted, found, first = np.fromiter(numbers, np.int64), [], 0
    for rows in members.blocks():
        here = wanted[(wanted >= first) & (wanted < first + len(rows))] - first
        if here.size:
            found.append(rows[here])
        first += len(rows)
    together = np.concatenate(found)
    return np.asarray(together[varying(together)])


def _ratios(members: Members, many: Many, best: int, judged: NDArray[np.bool_]) -> RatioRecord:
    """Ratios of d of all that are `judged` (N,) against luck, and what is left of the best once it is held against the
    best of as much luck."""
    ratios = many.ratio[judged]
    count = float(max(ratios.size, 1))
    sessions = next(iter(members.blocks())).shape[1]
    luck, sharpe = ROOT / math.sqrt(sessions), members.sharpe[np.isfinite(members.sharpe)]
    shares, edges = np.histogram(ratios * ROOT, bins=60)
    values, reasons = split(_of_best(members, many, best, ratios, sessions))
    return {
        "best_ratio": or_none(many.ratio[best] * ROOT),
        "sharpe_mean": or_none(float(sharpe.mean())) if sharpe.size else None,
        "sharpe_sd": or_none(float(sharpe.std(ddof=1))) if sharpe.size > 1 else None,
        "expected_maximum": expected_maximum(count) * luck,
        "expected_maximum_effective": expected_maximum(min(many.effective, count)) * luck,
        "ratio_mean": values["ratio_mean"],
        "ratio_sd": values["ratio_sd"],
        "ratio_skew": values["ratio_skew"],
        "ratio_kurtosis": values["ratio_kurtosis"],
        "ratios": {"edges": edges.tolist(), "counts": shares.tolist()},
        "deflated": values["deflated"],
        "dsr": values["dsr"],
        "dsr_effective": values["dsr_effective"],
        "minimum_backtest_years": values["minimum_backtest_years"],
        "years": sessions / PERIODS,
        "reasons": reasons,
    }


def _of_best(members: Members, many: Many, best: int, ratios: Floats, sessions: int) -> dict[str, Measure]:
    names = ("ratio_mean", "ratio_sd", "ratio_skew", "ratio_kurtosis")
    measures: dict[str, Measure] = dict.fromkeys(names, Undefined("fewer than two members have a ratio"))
    names = ("deflated", "dsr", "dsr_effective", "minimum_backtest_years")
    measures |= dict.fromkeys(names, Undefined("the best member's returns do not vary"))
    if ratios.size > 1:
        moments = (float(ratios.mean()) * ROOT, float(ratios.std(ddof=1)) * ROOT, skew(ratios), kurtosis(ratios))
        measures |= dict(zip(("ratio_mean", "ratio_sd", "ratio_skew", "ratio_kurtosis"), moments, strict=True))
    if not math.isfinite(many.ratio[best]):
        return measures
    d = _rows(members, [best])[0]
    g3, g4, ratio, count = skew(d), kurtosis(d), float(many.ratio[best]), float(len(many.ratio))
    if isinstance(g3, Undefined) or isinstance(g4, Undefined):
        return measures
    none = Undefined("the best member's ratio beyond its exposure is not positive")
    measures["minimum_backtest_years"] = minimum_backtest_length(count, ratio * ROOT) if ratio > 0.0 else none
    measures["deflated"] = deflated_ratio(sessions, ratio, g3, g4, count)
    sd = measures["ratio_sd"]
    for name, trials in (("dsr", count), ("dsr_effective", many.effective)):
        measures[name] = (
            sd if isinstance(sd, Undefined) else deflated_sharpe(ratio, sessions, trials, sd / ROOT, g3, g4)
        )
    return measures


def _confidence_set(
    members: Members, many: Many, p: Floats, how: Resampling, judged: NDArray[np.int64]
) -> tuple[ConfidenceSetRecord | None, Floats]:
    """The model confidence set of ratios, d brought to equal volatility: of all, or the best by p where there are
    very many. `judged` are the numbers of those that can be in it."""
    among = judged
    if judged.size > MOST_IN_SET:
        among = np.sort(judged[np.lexsort((judged, -many.ratio[judged], p[judged]))[:BEST_IN_SET]])
    inside = np.zeros(len(p))
    if among.size < 2:
        return None, inside
    rows = _rows(members, among)
    scaled = (rows / rows.std(axis=1, ddof=1)[:, None]).T
    few = replace(how, draws=min(how.draws, FEWEST_DRAWS))
    found = model_confidence_set(scaled, few, size=SET_LEVEL, statistic="max", whole=False)
    numbers = [int(among[i]) for i in found.included]
    inside[numbers] = 1.0
    return {
        "level": SET_LEVEL,
        "statistic": "max",
        "among": int(among.size),
        "size": len(numbers),
        "members": numbers[:1000],
    }, inside


def _overfitting(members: Members, judged: NDArray[np.bool_]) -> OverfittingRecord | Undefined:
    """PBO of the members that can be chosen, over as many blocks as the history bears and memory holds."""
    count = int(judged.sum())
    sessions = next(iter(members.blocks())).shape[1]
    blocks = min(MOST_SPLITS, sessions // SESSIONS_A_BLOCK // 2 * 2)
    while 2 ** (blocks // 2) * count > MOST_IN_TABLES and blocks > 4:
        blocks -= 2
    if count < 2 or blocks < 2:
        return Undefined("fewer than two members to choose from" if count < 2 else "too few sessions")
    sums = BlockSums.of(_those(members, judged), blocks)
    if not any(np.ptp(one, axis=-1).any() for one in (sums.centre, sums.mean, sums.square)):
        return Undefined("all members are the same")
    found = overfitting_of(sums)
    reach = math.ceil(max(1.0, float(np.max(np.abs(found.logits)))) * 2) / 2
    # Turned around, because bins are open on the right, and a logit of 0 belongs to the lower half.
    counts, edges = np.histogram(-found.logits, bins=20, range=(-reach, reach))
    shown = evenly(len(found.logits), 200)
    return {
        "blocks": blocks,
        "splits": len(found.logits),
        "dropped": found.dropped,
        "pbo": found.probability,
        "loss": found.loss,
        "slope": or_none(found.slope),
        "intercept": None if isinstance(found.intercept, Undefined) else found.intercept * ROOT,
        "logits": {"edges": edges.tolist(), "counts": counts[::-1].tolist()},
        "scatter": [[float(found.in_sample[i]) * ROOT, float(found.out_of_sample[i]) * ROOT] for i in shown],
    }


def _those(members: Members, judged: NDArray[np.bool_]) -> Iterable[Floats]:
    first = 0
    for rows in members.blocks():
        kept = rows[judged[first : first + len(rows)]]
        first += len(rows)
        if len(kept):
            yield kept


def _quantiles(values: Floats) -> list[float]:
    return [float(q) for q in np.quantile(values, np.linspace(0.0, 1.0, 101))] if values.size else []


def or_none(value: Measure) -> float | None:
    """Return a number that is finite, else None."""
    return None if isinstance(value, Undefined) or not math.isfinite(value) else float(value)
