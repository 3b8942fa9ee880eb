"""What `sim stats sweep` says of configurations that were all tried on the same history.

One row of numbers per configuration and, for the best, the question whether as many lucky ones would have shown one as
good: reality check, Romano-Wolf, deflated Sharpe ratio, probability of backtest overfitting, model confidence set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.load import Returns
from simulator.analysis.returns.summary import Asked, Tick, nothing, prepare
from simulator.errors import DataError, UsageError
from simulator.stats.inference import (
    deflated_sharpe,
    expected_maximum,
    minimum_backtest_length,
    probabilistic_sharpe,
    sharpe_p,
)
from simulator.stats.metrics import kurtosis, skew
from simulator.stats.series import Measure, Undefined, split

Floats = NDArray[np.float64]

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
class Sweep:
    """What is asked beyond `Asked`: how many `trials` were ever run where that is more than there are columns, and how
    many `blocks` PBO cuts the history into where that is not left to the length of the history.
    """

    trials: int | None = None
    blocks: int | None = None


def best_of(read: Returns, asked: Asked, swept: Sweep | None = None, tick: Tick = nothing) -> dict[str, Any]:
    """The sweep as one dictionary.

    Excess returns are those over the benchmark where one is named, else over the risk-free return. An empty column is
    a trial that failed: it counts, and has no numbers. Sharpe ratios are annual. Errors: `UsageError` for a single
    column, `DataError` below 30 sessions that all columns share.
    """
    ready, swept = prepare(read, asked), swept or Sweep()
    trials = swept.trials
    failed = [name for name, values in ready.strategies.items() if not np.isfinite(values).any()]
    names = [name for name in ready.strategies if name not in failed]
    tried = len(names) + len(failed)
    if tried < 2:
        raise UsageError(
            f"{read.source} holds one configuration", mend="a sweep has at least two; sim stats FILE judges one"
        )
    if trials is not None and trials < tried:
        raise UsageError(
            f"--trials {trials} is fewer than the {tried} columns", mend="count every configuration ever run"
        )
    rows = _shared(ready.read, {name: ready.strategies[name] for name in names}, ready.benchmark)
    base = ready.free if ready.benchmark is None else ready.benchmark
    excess = np.column_stack([ready.strategies[name][rows] - base[rows] for name in names])
    notes = ready.says["notes"]
    if not rows.all():
        notes.append(f"{int((~rows).sum())} sessions that not all configurations have are left out.")
    if failed:
        notes.append(f"Empty columns are trials that failed, and count: {', '.join(failed)}.")
    shared = ready.read.rows(rows)
    dated = shared.dates is not None
    return {
        **ready.says,
        "sessions": len(excess),
        "from": shared.day(0) if dated else None,
        "to": shared.day(len(excess) - 1) if dated else None,
        "failed": failed,
        **_judged(excess, names, asked, Sweep(max(trials or 0, tried), swept.blocks), tick),
    }


def _shared(read: Returns, columns: dict[str, Floats], benchmark: Floats | None) -> NDArray[np.bool_]:
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


def _judged(x: Floats, names: list[str], asked: Asked, swept: Sweep, tick: Tick) -> dict[str, Any]:
    from simulator.stats import selection
    from simulator.stats.series import is_constant

    varies = [i for i in range(x.shape[1]) if not is_constant(x[:, i])]
    if not varies:
        raise DataError("no configuration has returns that vary", mend="a sweep needs one that trades")
    trials = swept.trials or len(names)
    resampling = selection.Resampling(draws=asked.draws, seed=asked.seed)
    tick(STAGES[0], 0, len(STAGES))
    check = selection.max_sharpe_reality_check(x, resampling)
    tick(STAGES[1], 1, len(STAGES))
    steps = selection.romano_wolf(x, resampling)
    tick(STAGES[2], 2, len(STAGES))
    statistic: Literal["range", "max"] = "range" if len(names) <= MOST_FOR_RANGE else "max"
    fewer = selection.Resampling(draws=min(asked.draws, DRAWS_FOR_SETS), seed=asked.seed)
    confidence = selection.model_confidence_set(x, fewer, statistic=statistic) if len(names) > 1 else None
    tick(STAGES[3], 3, len(STAGES))
    overfit, reasons = _overfitting(x, swept.blocks)
    if confidence is None:
        reasons["mcs_size"] = "one configuration is a set by itself"
    tick(STAGES[3], 4, len(STAGES))
    measures = _deflated(x, check.best, check.sharpe[varies], trials, selection.effective_trials(x), asked.periods)
    values, undefined = split(measures)
    root = math.sqrt(asked.periods)
    return {
        "trials": trials,
        "best": names[check.best],
        **values,
        "reality_check_p": check.p,
        "block_length": resampling.block_for(x[:, varies]),
        **overfit,
        "mcs_size": confidence.size if confidence else None,
        "mcs_statistic": statistic,
        "configurations": [
            {
                "name": name,
                "sharpe": _or_none(check.sharpe[i] * root),
                "sharpe_p_hac": _or_none(sharpe_p(x[:, i])),
                "t": _or_none(steps.t[i]),
                "romano_wolf_p": float(steps.p[i]) if i in varies else None,
                "mcs_p": float(confidence.p[i]) if confidence else None,
                "in_mcs": bool(i in confidence.included) if confidence else None,
            }
            for i, name in enumerate(names)
        ],
        "null_best": [float(q) * root for q in np.quantile(check.null, (0.05, 0.5, 0.95))],
        "verdict": _verdict(check.p, trials),
        "borderline": 0.03 <= check.p <= 0.07,
        "reasons": {**undefined, **reasons},
    }


def _deflated(
    x: Floats, best: int, sharpe: Floats, trials: int, effective: float, periods: float
) -> dict[str, Measure]:
    """What as many trials without skill would have shown, and what is left of the best beyond that."""
    e, root = x[:, best], math.sqrt(periods)
    ratio, spread = float(e.mean() / e.std(ddof=1)), float(np.std(sharpe, ddof=1)) if len(sharpe) > 1 else math.nan
    g3, g4 = skew(e), kurtosis(e)
    # Trials that are not in the file are as much alike as those that are.
    effective = max(1.0, effective * trials / x.shape[1])
    alone = Undefined("one configuration that trades has no spread of Sharpe ratios")
    known = math.isfinite(spread) and not isinstance(g3, Undefined) and not isinstance(g4, Undefined)

    def against(count: float) -> Measure:
        if not known or isinstance(g3, Undefined) or isinstance(g4, Undefined):
            return alone
        return deflated_sharpe(ratio, len(e), count, spread, g3, g4)

    return {
        "best_sharpe": ratio * root,
        "trial_sd": spread * root if known else alone,
        "effective_trials": effective,
        "expected_maximum_sharpe": expected_maximum(trials) * spread * root if known else alone,
        "expected_maximum_sharpe_effective": expected_maximum(effective) * spread * root if known else alone,
        "psr": probabilistic_sharpe(ratio, len(e), 0.0, g3, g4)
        if not isinstance(g3, Undefined) and not isinstance(g4, Undefined)
        else alone,
        "dsr": against(trials),
        "dsr_effective": against(effective),
        "minimum_backtest_years": minimum_backtest_length(trials, ratio * root),
        "years": len(e) / periods,
    }


OVERFITTING = ("pbo", "prob_oos_loss", "is_oos_slope", "is_oos_intercept")


def _overfitting(x: Floats, wanted: int | None) -> tuple[dict[str, Any], dict[str, str]]:
    """PBO with as many blocks as the history bears, and the histogram of its logits."""
    from simulator.stats.overfitting import backtest_overfitting

    blocks = wanted or min(MOST_BLOCKS, len(x) // SESSIONS_A_BLOCK // 2 * 2)
    if x.shape[1] < 2 or blocks < 2:
        missing = Undefined("one configuration was not selected from anything")
        values, reasons = split(dict.fromkeys(OVERFITTING, missing))
        return {**values, "pbo_blocks": None, "pbo_splits": None, "pbo_dropped": None, "pbo_logits": None}, reasons
    found = backtest_overfitting(x, blocks)
    measures = (found.probability, found.loss, found.slope, found.intercept)
    values, reasons = split(dict(zip(OVERFITTING, measures, strict=True)))
    reach = math.ceil(max(1.0, float(np.max(np.abs(found.logits)))) * 2) / 2
    # Turned around, because bins are open on the right, and a logit of 0 belongs to the lower half.
    counts, edges = np.histogram(-found.logits, bins=20, range=(-reach, reach))
    logits = {"edges": [float(e) for e in edges], "counts": [int(c) for c in counts[::-1]]}
    said = {"pbo_blocks": blocks, "pbo_splits": len(found.logits), "pbo_dropped": found.dropped, "pbo_logits": logits}
    return {**values, **said}, reasons


def _verdict(p: float, trials: int) -> str:
    if p > 0.05:
        return f"consistent with luck given {trials} trials"
    return f"more than the best of {trials} lucky trials"


def _or_none(value: Measure) -> float | None:
    return None if isinstance(value, Undefined) or not math.isfinite(value) else float(value)
