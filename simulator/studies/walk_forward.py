"""Walk-forward and combinatorial cross-validation: settings chosen in sample, judged out of sample.

d of all members, chunk by chunk ──► ratios on each training part ──► the best member of each
walk-forward: members of the folds ──► one run whose parameters change at each test ──► both engines, a run folder
combinatorial: d of the chosen on their tests ──► the ratios of all paths

Members are played once, over all sessions: their indicators know the bars before a test, and d of a session rests on
that session and those before it. So a choice reads nothing but its training part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError, UsageError
from simulator.evidence.reader import read_beyond, read_equity
from simulator.evidence.records import Span
from simulator.evidence.sweep_records import (
    CombinatorialRecord,
    ConcentrationRecord,
    FoldRecord,
    PathRecord,
    SpreadRecord,
    StabilityRecord,
    WalkForwardRecord,
)
from simulator.market.bars import Floats
from simulator.number_format import counted, plain
from simulator.runs.execute import FinishedRun
from simulator.runs.spec import RunSpec
from simulator.stats.metrics import PERIODS, sharpe
from simulator.stats.series import Integers, Undefined
from simulator.stats.splits import Split, backtest_paths, ratios_within
from simulator.studies.splitting import Combinatorial, WalkForward, describe
from simulator.studies.study import Study

CRITERION = "the largest ratio, on the training part, of what was earned beyond the usual exposure; of equals the first"

BEST_SESSIONS = 10

NO_RATIO = -1e300
"""Stands below every ratio, for members that decided nothing."""

Series = Callable[[], Iterable[Floats]]
"""Yields (R, S) d of all members, chunk by chunk, in the order of their numbers."""

Dates = NDArray[np.datetime64]
Play = Callable[[RunSpec], FinishedRun]
"""Makes the run of a path, with its folder of evidence, as `sim run` makes it."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Choices on F splits.

    Attributes
    ----------
    members : (F,) numbers
    inside, outside : (F,) ratios a session of d where they were chosen, and on the tests
    rank : (F,) fraction of all members that did worse on the tests, of those that did as well half
    """

    members: Integers
    inside: Floats
    outside: Floats
    rank: Floats


def choose(series: Series, splits: Sequence[Split]) -> Choices:
    """Return the member with the largest ratio on the training rows of each of `splits`, the first of equals.

    One that decided nothing there has no ratio and is chosen where no other has one; one that failed never is. Raises
    UsageError where all failed.
    """
    windows = [*(one.train for one in splits), *(np.concatenate(one.test) for one in splits)]
    every = np.arange(len(splits))
    members, best, outside = np.zeros(len(splits), dtype=np.int64), np.full(len(splits), -np.inf), np.zeros(len(splits))
    ratios, seen = [], 0
    for block in series():
        inside, after = np.split(ratios_within(block, windows), 2, axis=1)
        failed = np.isnan(block).any(axis=1, keepdims=True)
        inside = np.where(failed, -np.inf, np.where(np.isnan(inside), NO_RATIO, inside))
        place = inside.argmax(axis=0)
        better = inside[place, every] > best
        best = np.where(better, inside[place, every], best)
        members = np.where(better, place + seen, members)
        outside = np.where(better, after[place, every], outside)
        ratios.append(after.astype(np.float32))
        seen += len(block)
    if not np.isfinite(best).all():
        raise UsageError("no member could be played to its end", mend="take other settings")
    # What does not vary, such as a member out of the market, earned 0.
    known = np.nan_to_num(outside.astype(np.float32))
    others = np.nan_to_num(np.concatenate(ratios))
    rank = ((others < known).sum(axis=0) + (others == known).sum(axis=0) / 2) / seen
    return Choices(members, np.where(best == NO_RATIO, np.nan, best), outside, rank)


def check_splits(study: Study, kind: str = "rule") -> None:
    """Raise UsageError where the tests of `study` were looked at by its search, or one account could not follow the
    choices."""
    if study.space.search == "tpe" and (study.walk_forward is not None or study.combinatorial is not None):
        raise UsageError(
            "a tpe search looks at all sessions, those of the tests too", mend="take --search grid, random or sobol"
        )
    if study.walk_forward is None or not study.walk_forward.path:
        return
    swept = replace(study.base, parameters={one.name: 0 for one in study.space.parameters})
    dated = kind == "rule"  # other strategies take no setting at a date
    if swept.overrides or not dated:
        name = min(swept.overrides) if dated else f"a setting of a {kind}"
        mend = "add path=no for figures by fold alone" + f", or give {name} one value" * dated
        raise UsageError(
            f"{name} is swept and holds for a whole account, which a walk-forward plays through",
            where="--walk-forward",
            mend=mend,
        )


def describe_splits(study: Study, dates: Dates) -> tuple[str, ...]:
    """Return what the splits of `study` over the sessions `dates` (S,) come to, in a sentence each.

    Raises UsageError where they do not fit so many sessions.
    """
    walked, crossed = study.walk_forward, study.combinatorial
    found = []
    if walked is not None:
        tests = [one.test[0] for one in walked.splits(len(dates))]
        played = ", played as one account" if walked.path else ""
        span = f"{dates[tests[0][0]]} to {dates[tests[-1][-1]]}"
        found.append(f"Walk-forward: {plain(counted(len(tests), 'fold'))}, judged from {span}{played}.")
    if crossed is not None:
        paths = len(backtest_paths(crossed.folds, crossed.test))
        splits = plain(counted(len(crossed.splits(len(dates))), "split"))
        found.append(f"Cross-validation: {splits}, {plain(counted(paths, 'path'))} through all sessions.")
    return tuple(found)


def path_spec(study: Study, members: Sequence[int], firsts: Sequence[date], last: date) -> RunSpec:
    """Return the run that takes over the settings of each of `members` on its day of `firsts`, and ends with `last`."""
    chosen = [study.space.settings(number) for number in members]
    parameters: dict[str, Any] = {**study.base.parameters, **chosen[0]}
    for (before, after), first in zip(pairwise(chosen), firsts[1:], strict=True):
        parameters |= {f"{name}@{first}": value for name, value in after.items() if value != before[name]}
    return replace(study.base, parameters=parameters, first=firsts[0], last=last)


def walk(study: Study, given: WalkForward, dates: Dates, series: Series, play: Play) -> WalkForwardRecord:
    """Return the walk-forward over the sessions `dates` (S,), on which the members earned `series`.

    Raises UsageError where the sessions hold no fold, or one account cannot follow the choices.
    """
    splits = given.splits(len(dates))
    choices = choose(series, splits)
    folds = [_fold(study, dates, split, choices, f) for f, split in enumerate(splits)]
    left, blind = len(dates) - int(splits[-1].test[0][-1]) - 1, int(np.isnan(choices.inside).sum())
    found: WalkForwardRecord = {
        "words": describe(given),
        "anchored": given.anchored,
        "train": given.train,
        "test": given.test,
        "purge": given.purge,
        "step": given.step or given.test,
        "criterion": CRITERION,
        "folds": folds,
        "stability": _stability(folds),
        "degradation": {"in_sample": None, "out_of_sample": None, "kept": None, "rank": float(choices.rank.mean())},
        "spread": _spread([one["out_of_sample"] for one in folds]),
        "path": None,
        "concentration": None,
        "notes": [
            *[f"no whole test is left for {plain(counted(left, 'session'))} at the end"] * bool(left),
            *[f"in {plain(counted(blind, 'fold'))} nobody decided anything in sample: the first is taken"]
            * bool(blind),
        ],
    }
    outside = _mean([one["out_of_sample"] for one in folds])
    if given.path:
        days = [date.fromisoformat(one["test"]["from"]) for one in folds]
        last = date.fromisoformat(folds[-1]["test"]["to"])
        run = play(path_spec(study, choices.members.tolist(), days, last))
        beyond, equity = _read_path(run, dates[splits[0].test[0][0] : splits[-1].test[0][-1] + 1])
        for fold, split in zip(folds, splits, strict=True):
            rows = split.test[0] - splits[0].test[0][0]
            before, after = float(equity[rows[0]]), float(equity[rows[-1] + 1])
            fold["out_of_sample"], fold["profit"] = _annual(beyond[rows]), after - before
            fold["total_return"] = after / before - 1.0 if before > 0 else None
        outside = _annual(beyond)
        found |= {
            "spread": _spread([one["out_of_sample"] for one in folds]),
            "path": _path(run),
            "concentration": _concentration(folds, equity),
        }
    inside = _mean([one["in_sample"] for one in folds])
    kept = outside / inside if outside is not None and inside is not None and inside > 0 else None
    found["degradation"] |= {"in_sample": inside, "out_of_sample": outside, "kept": kept}
    return found


def cross_validate(given: Combinatorial, dates: Dates, series: Series) -> CombinatorialRecord:
    """Return the combinatorial cross-validation over the sessions `dates` (S,). Raises UsageError for what is none."""
    splits = given.splits(len(dates))
    choices = choose(series, splits)
    own, seen = dict[int, Floats](), 0
    for block in series():
        own |= {n: np.array(block[n - seen]) for n in choices.members.tolist() if seen <= n < seen + len(block)}
        seen += len(block)
    stretches = {int(rows[0]): rows for split in splits for rows in split.test}
    folds = [stretches[first] for first in sorted(stretches)]
    ratios = []
    for path in choices.members[backtest_paths(given.folds, given.test)].tolist():
        ratios.append(_annual(np.concatenate([own[n][rows] for n, rows in zip(path, folds, strict=True)])))
    earned = [ratio or 0.0 for ratio in ratios]
    return {
        "words": describe(given),
        "folds": given.folds,
        "test": given.test,
        "purge": given.purge,
        "embargo": given.embargo,
        "criterion": CRITERION,
        "splits": len(splits),
        "chosen": choices.members.tolist(),
        "in_sample": [_a_year(ratio) for ratio in choices.inside.tolist()],
        "out_of_sample": [_a_year(ratio) for ratio in choices.outside.tolist()],
        "ratios": ratios,
        "mean": _mean(earned),
        "deviation": float(np.std(earned, ddof=1)) if len(earned) > 1 else None,
        "loss": sum(ratio <= 0 for ratio in earned) / len(earned),
        "rank": float(choices.rank.mean()),
    }


def _fold(study: Study, dates: Dates, split: Split, choices: Choices, f: int) -> FoldRecord:
    member = int(choices.members[f])
    return {
        "train": _span(dates[split.train]),
        "test": _span(dates[split.test[0]]),
        "member": member,
        "settings": dict(study.space.settings(member)),
        "in_sample": _a_year(choices.inside[f]),
        "rank": float(choices.rank[f]),
        "out_of_sample": _a_year(choices.outside[f]),
        "total_return": None,
        "profit": None,
    }


def _read_path(run: FinishedRun, dates: Dates) -> tuple[Floats, Floats]:
    """(n,) d of the path at `dates`, and (n + 1,) its equity at the close before and at theirs."""
    sessions, columns = read_equity(run.folder, run.facts)
    if [str(day) for day in sessions] != [str(day) for day in dates]:
        raise DataError(
            "has other sessions than the tests", where=str(run.folder), mend="the same command plays it again"
        )
    beyond = read_beyond(run.folder, run.facts)
    return np.array([beyond[day] for day in sessions]), np.r_[run.facts["cash"], columns["equity"]]


def _path(run: FinishedRun) -> PathRecord:
    facts, audit = run.facts, run.facts["audit"]
    return {
        "from": facts["from"],
        "to": facts["to"],
        "run_id": facts["run_id"],
        "folder": run.folder.name,
        "digest": facts["digest"],
        "command": facts["command"],
        "sessions": facts["sessions"],
        "metrics": dict(facts["metrics"]),
        "skill": facts["skill"],
        "max_relative_difference": audit and audit["max_relative_difference"],
    }


def _stability(folds: Sequence[FoldRecord]) -> StabilityRecord:
    pairs = [(one["settings"], other["settings"]) for one, other in pairwise(folds)]
    return {
        "changes": sum(one != other for one, other in pairs),
        "distinct": len({fold["member"] for fold in folds}),
        "changes_by_parameter": {
            name: sum(one[name] != other[name] for one, other in pairs) for name in folds[0]["settings"]
        },
    }


def _spread(ratios: Sequence[float | None]) -> SpreadRecord:
    known = [ratio for ratio in ratios if ratio is not None]
    return {
        "mean": _mean(known),
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "lowest": min(known, default=None),
        "highest": max(known, default=None),
        "gaining": sum(ratio > 0 for ratio in known),
        "folds": len(ratios),
    }


def _concentration(folds: Sequence[FoldRecord], equity: Floats) -> ConcentrationRecord:
    profits = [fold["profit"] or 0.0 for fold in folds]
    best, gains = int(np.argmax(profits)), math.fsum(profit for profit in profits if profit > 0)
    days, whole = np.sort(np.diff(equity)), float(equity[-1] - equity[0])
    return {
        "profit": whole,
        "best_fold": best,
        "best_fold_share": profits[best] / gains if gains > 0 else None,
        "without_best_fold": whole - profits[best],
        "without_best_sessions": whole - math.fsum(days[-BEST_SESSIONS:].tolist()),
    }


def _span(dates: Dates) -> Span:
    return {"from": str(dates[0]), "to": str(dates[-1])}


def _annual(series: Floats) -> float | None:
    found = sharpe(series)
    return None if isinstance(found, Undefined) else found


def _a_year(ratio: float) -> float | None:
    return float(ratio) * math.sqrt(PERIODS) if math.isfinite(ratio) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
