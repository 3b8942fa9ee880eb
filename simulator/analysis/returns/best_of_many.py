"""The best of many configurations that were all tried on the same history: the answer of `sim stats sweep`.

One row of numbers per configuration and, for the best, the question whether as many lucky ones would have shown one as
good: reality check, Romano-Wolf, deflated Sharpe ratio, probability of backtest overfitting, model confidence set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.load import Returns
from simulator.analysis.returns.summary import About, Settings, Tick, ignore_progress, measure_span, prepare
from simulator.errors import DataError, UsageError
from simulator.stats.inference import (
    deflated_sharpe,
    expected_maximum,
    minimum_backtest_length,
    probabilistic_sharpe,
    sharpe_p,
)
from simulator.stats.metrics import kurtosis, skew
from simulator.stats.series import Floats, Measure, Undefined, split

FEWEST_SESSIONS = 30

MOST_BLOCKS = 16

SESSIONS_A_BLOCK = 10
"""A block shorter than this has no Sharpe ratio worth ranking: fewer blocks are taken."""

MOST_FOR_RANGE = 50
"""Configurations up to which the confidence set compares all pairs; its work grows with the cube of their number."""

DRAWS_FOR_SETS = 2000
"""Configurations leave the confidence set one by one, and each time all histories are looked at again."""

STAGES = ("reality check", "Romano-Wolf", "confidence set", "overfitting")


@dataclass(frozen=True)
class Configuration:
    """One of many: its Sharpe ratio a year, p alone and adjusted, and whether it is in the model confidence set."""

    name: str
    sharpe: float | None
    sharpe_p_hac: float | None
    t: float | None
    romano_wolf_p: float | None
    mcs_p: float | None
    in_mcs: bool | None


@dataclass(frozen=True)
class Histogram:
    """`edges` (n + 1) and `counts` (n) of the logits of ranks out of sample."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Overfitting:
    """Probability of backtest overfitting and what goes with it; `reasons` of what is None."""

    values: Mapping[str, float | None]
    reasons: Mapping[str, str]
    pbo_blocks: int | None = None
    pbo_splits: int | None = None
    pbo_dropped: int | None = None
    pbo_logits: Histogram | None = None


@dataclass(frozen=True)
class BestOfMany:
    """The best of `trials`; `about` spans the sessions all have, `failed` are empty columns, `values` of the best."""

    about: About
    trials: int
    best: str
    failed: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    values: Mapping[str, float | None]
    reality_check_p: float
    block_length: float
    overfitting: Overfitting
    mcs_size: float | None
    mcs_statistic: str
    null_best: tuple[float, ...]
    verdict: str
    borderline: bool
    reasons: Mapping[str, str]


def judge_best(
    read: Returns,
    settings: Settings,
    trials: int | None = None,
    blocks: int | None = None,
    tick: Tick = ignore_progress,
) -> BestOfMany:
    """Return what is to be said of the best column for its having been chosen.

    `trials` were ever run, where that is more than there are columns; PBO cuts the history into `blocks`, where that is
    not left to its length. Excess returns are those over the benchmark where one is named, else over the risk-free
    return. An empty column is a trial that failed: it counts, and has no numbers. Sharpe ratios are annual. Raises
    UsageError for a single column, DataError below 30 sessions that all columns share.
    """
    ready = prepare(read, settings)
    failed = [name for name, values in ready.strategies.items() if not np.isfinite(values).any()]
    names = [name for name in ready.strategies if name not in failed]
    tried = len(ready.strategies)
    if tried < 2:
        mend = "a sweep has at least two; sim stats FILE judges one"
        raise UsageError(f"{read.source} holds one configuration", mend=mend)
    if trials is not None and trials < tried:
        mend = "count every configuration ever run"
        raise UsageError(f"--trials {trials} is fewer than the {tried} columns", mend=mend)
    rows = _share_sessions(ready.read, {name: ready.strategies[name] for name in names}, ready.benchmark)
    base = ready.free if ready.benchmark is None else ready.benchmark
    excess = np.column_stack([ready.strategies[name][rows] - base[rows] for name in names])
    notes = list(ready.about.notes)
    if not rows.all():
        notes.append(f"{int((~rows).sum())} sessions that not all configurations have are left out.")
    if failed:
        notes.append(f"Empty columns are trials that failed, and count: {', '.join(failed)}.")
    about = replace(ready.about, span=measure_span(ready.read.rows(rows)), notes=tuple(notes))
    return _judge(excess, names, settings, about, tuple(failed), trials or tried, blocks, tick)


def _share_sessions(read: Returns, columns: dict[str, Floats], benchmark: Floats | None) -> NDArray[np.bool_]:
    """(T,) the sessions all configurations have."""
    every = [*columns.values(), *([] if benchmark is None else [benchmark])]
    rows = np.all([np.isfinite(values) for values in every], axis=0)
    if rows.sum() < FEWEST_SESSIONS:
        short = min(columns, key=lambda name: int(np.isfinite(columns[name]).sum()))
        raise DataError(
            f'all configurations together have {int(rows.sum())} sessions, the shortest is "{short}"',
            where=read.source,
            mend=f"a sweep needs {FEWEST_SESSIONS}; leave out what is too short",
        )
    return np.asarray(rows)


LONE = {"mcs_size": "one configuration is a set by itself"}


def _judge(
    x: Floats,
    names: list[str],
    settings: Settings,
    about: About,
    failed: tuple[str, ...],
    trials: int,
    blocks: int | None,
    tick: Tick,
) -> BestOfMany:
    from simulator.stats import selection
    from simulator.stats.many import Resampling, varying

    varies = np.flatnonzero(varying(x.T)).tolist()
    if not varies:
        raise DataError("no configuration has returns that vary", mend="a sweep needs one that trades")
    resampling = Resampling(draws=settings.draws, seed=settings.seed)
    tick(STAGES[0], 0, len(STAGES))
    check = selection.max_sharpe_reality_check(x, resampling)
    tick(STAGES[1], 1, len(STAGES))
    steps = selection.romano_wolf(x, resampling)
    tick(STAGES[2], 2, len(STAGES))
    statistic: Literal["range", "max"] = "range" if len(names) <= MOST_FOR_RANGE else "max"
    fewer = Resampling(draws=min(settings.draws, DRAWS_FOR_SETS), seed=settings.seed)
    confidence = selection.model_confidence_set(x, fewer, statistic=statistic) if len(names) > 1 else None
    tick(STAGES[3], 3, len(STAGES))
    overfitting = _overfitting(x, blocks)
    tick(STAGES[3], 4, len(STAGES))
    sharpe, effective = check.sharpe[varies], selection.effective_trials(x)
    values, undefined = split(_deflate_best(x, check.best, sharpe, trials, effective, settings.periods))
    root = math.sqrt(settings.periods)
    configurations = tuple(
        Configuration(
            name,
            _or_none(check.sharpe[i] * root),
            _or_none(sharpe_p(x[:, i])),
            _or_none(steps.t[i]),
            float(steps.p[i]) if i in varies else None,
            float(confidence.p[i]) if confidence else None,
            bool(i in confidence.included) if confidence else None,
        )
        for i, name in enumerate(names)
    )
    return BestOfMany(
        about=about,
        trials=trials,
        best=names[check.best],
        failed=failed,
        configurations=configurations,
        values=values,
        reality_check_p=check.p,
        block_length=resampling.block_for(x[:, varies]),
        overfitting=overfitting,
        mcs_size=confidence.size if confidence else None,
        mcs_statistic=statistic,
        null_best=tuple(float(q) * root for q in np.quantile(check.null, (0.05, 0.5, 0.95))),
        verdict=_verdict(check.p, trials),
        borderline=0.03 <= check.p <= 0.07,
        reasons={**undefined, **overfitting.reasons, **({} if confidence else LONE)},
    )


def _verdict(p: float, trials: int) -> str:
    if p > 0.05:
        return f"consistent with luck given {trials} trials"
    return f"more than the best of {trials} lucky trials"


def _deflate_best(
    x: Floats, best: int, sharpe: Floats, trials: int, effective: float, periods: float
) -> dict[str, Measure]:
    """Return the best Sharpe ratio that as many trials without skill show, and what is left of the best beyond it."""
    e, root = x[:, best], math.sqrt(periods)
    ratio, spread = float(e.mean() / e.std(ddof=1)), float(np.std(sharpe, ddof=1)) if len(sharpe) > 1 else math.nan
    # Trials that are not in the file are as much alike as those that are.
    effective = max(1.0, effective * trials / x.shape[1])
    g3, g4 = skew(e), kurtosis(e)
    measures: dict[str, Measure] = {
        "best_sharpe": ratio * root,
        "effective_trials": effective,
        "minimum_backtest_years": minimum_backtest_length(trials, ratio * root),
        "years": len(e) / periods,
    }
    alone = Undefined("one configuration that trades has no spread of Sharpe ratios")
    names = ("trial_sd", "expected_maximum_sharpe", "expected_maximum_sharpe_effective", "psr", "dsr", "dsr_effective")
    measures |= dict.fromkeys(names, alone)
    if isinstance(g3, Undefined) or isinstance(g4, Undefined):
        return measures
    measures["psr"] = probabilistic_sharpe(ratio, len(e), 0.0, g3, g4)
    if math.isfinite(spread):
        measures |= {
            "trial_sd": spread * root,
            "expected_maximum_sharpe": expected_maximum(trials) * spread * root,
            "expected_maximum_sharpe_effective": expected_maximum(effective) * spread * root,
            "dsr": deflated_sharpe(ratio, len(e), trials, spread, g3, g4),
            "dsr_effective": deflated_sharpe(ratio, len(e), effective, spread, g3, g4),
        }
    return measures


MEASURES = ("pbo", "prob_oos_loss", "is_oos_slope", "is_oos_intercept")


def _overfitting(x: Floats, blocks: int | None) -> Overfitting:
    """Return PBO with as many blocks as the history bears, and the histogram of its logits."""
    from simulator.stats.overfitting import backtest_overfitting

    blocks = blocks or min(MOST_BLOCKS, len(x) // SESSIONS_A_BLOCK // 2 * 2)
    if x.shape[1] < 2 or blocks < 2:
        missing = Undefined("one configuration was not selected from anything")
        return Overfitting(*split(dict.fromkeys(MEASURES, missing)))
    found = backtest_overfitting(x, blocks)
    measures = (found.probability, found.loss, found.slope, found.intercept)
    values, reasons = split(dict(zip(MEASURES, measures, strict=True)))
    reach = math.ceil(max(1.0, float(np.max(np.abs(found.logits)))) * 2) / 2
    # Turned around, because bins are open on the right, and a logit of 0 belongs to the lower half.
    counts, edges = np.histogram(-found.logits, bins=20, range=(-reach, reach))
    logits = Histogram(tuple(map(float, edges)), tuple(map(int, counts[::-1])))
    return Overfitting(values, reasons, blocks, len(found.logits), found.dropped, logits)


def _or_none(value: Measure) -> float | None:
    return None if isinstance(value, Undefined) or not math.isfinite(value) else float(value)
