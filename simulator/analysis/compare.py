"""Two runs or more on the sessions they share: are they different, since when, and what was different about them?

    run folders ──► common sessions ──► paired statistics ──┐
               ├──► decisions, in order ──► first to differ ├──► facts (JSON) ──► terminal, page
               └──► run.json ──► what differs               ──┘

Pure functions of the folders. The answer may be "cannot tell them apart"; it is never "no difference".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from simulator.analysis.divergence import ConfigurationDifference, Divergence, first_divergence
from simulator.analysis.verdict import judge, judged_sessions
from simulator.errors import UsageError
from simulator.evidence.members import who_by_seat
from simulator.evidence.reader import Evidence, read, read_beyond
from simulator.evidence.records import Metrics, OpenSpan, Reasons, RunRecord, Span, Stopped, TrialsRecord
from simulator.stats import bootstrap, power
from simulator.stats.adjust import adjust
from simulator.stats.compare import SharpeDifference, compare
from simulator.stats.mean import mean_of
from simulator.stats.metrics import correlation, sharpe, summary, tracking_error
from simulator.stats.series import Floats, Measure, Undefined, split
from simulator.trading.execution import SESSIONS_A_YEAR

FEWEST_COMMON = 20
"""Common sessions below which nothing is estimated."""
ENOUGH = 60
"""Common sessions below which there is no verdict."""

MOST_RUNS = 8
LABELS = "ABCDEFGH"

Standing = Literal[
    "same", "no overlap", "too short", "not assessable", "undefined", "borderline", "first", "second", "not apart"
]

SAME_MONEY = 1e-12
"""Returns that differ by less are rounding of the same ones."""


class ComparedRun(Span):
    label: str
    run_id: str
    digest: str
    strategy: str
    symbols: list[str]
    sessions: int
    verdict: str
    command: str
    partial: bool
    altered: str
    stopped: Stopped | None
    models: list[str]
    members: dict[str, str]
    replicates: int
    folder: str


class CommonSpan(OpenSpan):
    sessions: int


class MetricRow(TypedDict):
    """A metric, and its value in each run."""

    key: str
    values: list[float | None]


class BeyondRecord(TypedDict):
    """Returns beyond each run's own usual exposure on the common sessions, a year: their means, and the difference with
    its 95 % interval and p (paired stationary bootstrap); `reason` why there is none."""

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str | None


class PairFigures(TypedDict):
    a: Metrics
    b: Metrics


class RunPair(CommonSpan):
    """Two runs on the sessions both have.

    `a` and `b` are their labels, `same` is ``bytes`` or ``returns`` where those are equal, `figures` annual metrics.
    `values` are annual: sharpe_difference (a − b) with its standard error sharpe_difference_se, p (two-sided,
    Ledoit-Wolf), p_hac, low, high, paired_low and paired_high (stationary bootstrap), detectable; return_difference
    with return_low, return_high, return_p (paired stationary bootstrap of the mean); correlation, tracking_error;
    sessions_needed until the difference would be found four times in five; p_adjusted (Holm) with three runs or more.
    Of `common` sessions that both have, `judged` lie after the cut-offs of their models: the pair is compared on these
    where they are enough, else on all, and is "not assessable". `diverging` is the first decision that differs.
    """

    a: str
    b: str
    same: Literal["bytes", "returns"] | None
    figures: PairFigures
    values: dict[str, float | None]
    reasons: Reasons
    beyond: BeyondRecord
    standing: Standing
    common: int
    judged: int
    diverging: Divergence | None


class Comparison(TypedDict):
    """Output of ``sim compare --json``.

    `configuration` only where the runs differ. `metrics_over`: all (every session of every run), common (the sessions
    all have) or own (each its own, for none is common).
    """

    runs: list[ComparedRun]
    pairs: list[RunPair]
    configuration: list[ConfigurationDifference]
    metrics: list[MetricRow]
    metrics_over: Literal["all", "common", "own"]
    common: CommonSpan
    draws: int
    seed: int


@dataclass(frozen=True, eq=False)
class LabelledRun:
    """A run under its label: simple returns (T,) and risk-free returns (T,) of its sessions.

    What follows a total loss has returns of 0: there is nothing left to earn on.
    """

    label: str
    folder: Path
    evidence: Evidence
    returns: Floats
    free: Floats
    beyond: Mapping[date, float]

    @property
    def run(self) -> RunRecord:
        return self.evidence.run

    @property
    def judged(self) -> Sequence[date]:
        """Sessions on which a verdict may rest, none where nobody can say."""
        return self.evidence.sessions[len(self.evidence.sessions) - (judged_sessions(self.run) or 0) :]

    def on(self, days: Sequence[date]) -> tuple[Floats, Floats]:
        """Returns and risk-free returns on `days`, each of them a session of the run."""
        row = {day: i for i, day in enumerate(self.evidence.sessions)}
        at = np.array([row[day] for day in days], dtype=np.intp)
        return self.returns[at], self.free[at]


def compare_runs(
    folders: Sequence[Path],
    *,
    altered: Sequence[str] = (),
    tried: Sequence[TrialsRecord] = (),
    draws: int = bootstrap.DRAWS,
    seed: int = 0,
) -> tuple[Comparison, tuple[LabelledRun, ...]]:
    """Return the comparison of the runs in `folders`, and the runs it was made of.

    `altered` says of each folder what has changed in it since, `tried` its trials as they are counted now.
    Raises UsageError for fewer than two runs or more than eight, DataError for a folder that cannot be read.
    """
    if not 2 <= len(folders) <= MOST_RUNS:
        raise UsageError(f"{len(folders)} runs", mend=f"name two to {MOST_RUNS} runs; `sim runs` lists them")
    if draws < 1:
        raise UsageError(f"--draws was {draws}", mend="10000 is usual")
    whys = altered or [""] * len(folders)
    counted: Sequence[TrialsRecord | None] = tried or [None] * len(folders)
    runs = tuple(_read_labelled(*each) for each in zip(LABELS, folders, whys, counted, strict=False))
    days = common_sessions([one.evidence for one in runs])
    over, metrics = _metrics(runs, days)
    pairs = [_pair(one, other, draws, seed) for one, other in combinations(runs, 2)]
    return {
        "runs": [_about(one) for one in runs],
        "pairs": _adjust_pairs(pairs),
        "configuration": find_differences([one.run for one in runs]),
        "metrics": metrics,
        "metrics_over": over,
        "common": _span(days),
        "draws": draws,
        "seed": seed,
    }, runs


def common_sessions(of: Sequence[Evidence]) -> list[date]:
    """Dates that all have, oldest first."""
    shared = set(of[0].sessions).intersection(*(one.sessions for one in of[1:]))
    return sorted(shared)


def find_differences(runs: Sequence[RunRecord]) -> list[ConfigurationDifference]:
    """Return what the runs were made of and on, where they differ; a value is None where a run lacks the key.

    Keys are dotted paths into run.json, in its order: symbols, dates, models, parameters, config, strategy files,
    data, code, packages; ``members.SEAT`` is who answers in a seat.
    """
    flat = [
        dict(_flat({name: value for name, value in {**run, "members": who_by_seat(run)}.items() if name in INPUTS}))
        for run in runs
    ]
    found = dict.fromkeys(key for one in flat for key in one)
    keys = sorted(found, key=lambda key: INPUTS.index(key.partition(".")[0]))
    rows: list[ConfigurationDifference] = [{"key": key, "values": [one.get(key) for one in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


INPUTS = (
    *("strategy", "symbols", "from", "to", "models", "members", "replicates", "parameters", "cash", "config"),
    *("strategy_files", "analysts", "sources", "context", "data_digest", "risk_free", "partial", "code", "packages"),
)
"""Keys of run.json that say what a run was made of."""


def _flat(value: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{before}{key}.")
        elif inner is not None and inner != {}:
            yield f"{before}{key}", inner


def _read_labelled(label: str, folder: Path, altered: str, tried: TrialsRecord | None) -> LabelledRun:
    evidence = read(folder, altered, tried)
    closes = np.r_[float(evidence.run["cash"]), evidence.equity["equity"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.nan_to_num(closes[1:] / closes[:-1] - 1.0, nan=0.0, posinf=0.0, neginf=0.0)
    free = np.nan_to_num(evidence.equity.get("risk_free", np.zeros(len(returns))))
    return LabelledRun(label, folder, evidence, returns, free, read_beyond(folder, evidence.run))


def _about(one: LabelledRun) -> ComparedRun:
    run = one.run
    return {
        "label": one.label,
        "run_id": run["run_id"],
        "digest": run["digest"],
        "strategy": run["strategy"],
        "symbols": run["symbols"],
        "from": run["from"],
        "to": run["to"],
        "sessions": run["sessions"],
        "verdict": judge(run).headline,
        "command": run["command"],
        "partial": run["partial"],
        "altered": one.evidence.altered,
        "stopped": run.get("stopped"),
        "models": run["llm"]["models"],
        "members": who_by_seat(run),
        "replicates": run["replicates"]["count"],
        "folder": str(one.folder),
    }


def _span(days: Sequence[date]) -> CommonSpan:
    return {
        "sessions": len(days),
        "from": str(days[0]) if days else None,
        "to": str(days[-1]) if days else None,
    }


def _metrics(
    runs: Sequence[LabelledRun], days: Sequence[date]
) -> tuple[Literal["all", "common", "own"], list[MetricRow]]:
    """Metrics any of the runs has, and over which sessions they are."""
    over: Literal["all", "common", "own"] = "common" if days else "own"
    if days and all(len(one.evidence.sessions) == len(days) for one in runs):
        over = "all"
    found = [_figures(*one.on(days)) if over == "common" else one.run["metrics"] for one in runs]
    keys = dict.fromkeys(key for metrics in found for key in metrics)
    rows: list[MetricRow] = [{"key": key, "values": [metrics.get(key) for metrics in found]} for key in keys]
    return over, [row for row in rows if any(value is not None for value in row["values"])]


def _pair(one: LabelledRun, other: LabelledRun, draws: int, seed: int) -> RunPair:
    days = common_sessions([one.evidence, other.evidence])
    a, b = one.on(days), other.on(days)
    same: Literal["bytes", "returns"] | None = "bytes" if one.run["digest"] == other.run["digest"] else None
    if same is None and days and bool(np.all(np.abs(a[0] - b[0]) <= SAME_MONEY)):
        same = "returns"
    common, late = len(days), sorted(set(days).intersection(one.judged, other.judged))
    remembered = same is None and len(late) < min(common, ENOUGH)
    if same is None and not remembered:
        days, a, b = late, one.on(late), other.on(late)
    values, reasons = split(_compare_series(a, b, same, draws, seed))
    return {
        "a": one.label,
        "b": other.label,
        "same": same,
        **_span(days),
        "figures": {"a": _figures(*a), "b": _figures(*b)},
        "values": values,
        "reasons": reasons,
        "beyond": _beyond(one, other, days, draws, seed),
        "standing": "not assessable" if remembered else judge_pair(same, len(days), values),
        "common": common,
        "judged": len(late),
        "diverging": first_divergence(one.evidence, other.evidence, find_differences([one.run, other.run])),
    }


def _beyond(one: LabelledRun, other: LabelledRun, days: Sequence[date], draws: int, seed: int) -> BeyondRecord:
    nothing: BeyondRecord = dict.fromkeys(BeyondRecord.__annotations__)  # type: ignore[assignment]
    shared = [day for day in days if day in one.beyond and day in other.beyond]
    if len(shared) < FEWEST_COMMON:
        old = "a run of an earlier version has no returns beyond its exposure by session"
        return {
            **nothing,
            "reason": f"fewer than {FEWEST_COMMON} common sessions" if one.beyond and other.beyond else old,
        }
    a, b = (np.array([run.beyond[day] for day in shared]) for run in (one, other))
    apart = mean_of(a - b, SESSIONS_A_YEAR, draws, seed)
    means = {"a": float(a.mean()) * SESSIONS_A_YEAR, "b": float(b.mean()) * SESSIONS_A_YEAR}
    why = None if apart.p is not None else "the two differ by the same amount every session"
    return {**means, "difference": apart.value, "low": apart.low, "high": apart.high, "p": apart.p, "reason": why}  # type: ignore[typeddict-item]


def judge_pair(same: str | None, sessions: int, values: Metrics) -> Standing:
    """Return what may be said of a pair: at 5 %, two-sided.

    p from 0.03 to 0.07, or a p and an interval that disagree, is borderline.
    """
    if same:
        return "same"
    if sessions < ENOUGH:
        return "too short" if sessions else "no overlap"
    p, difference = values.get("p_adjusted", values["p"]), values["sharpe_difference"]
    if p is None or difference is None:
        return "undefined"
    if 0.03 <= p <= 0.07:
        return "borderline"
    if p >= 0.05:
        return "not apart"
    return "first" if difference > 0 else "second"


def _figures(returns: Floats, free: Floats) -> Metrics:
    if not len(returns):
        return {}
    return summary(returns, free, None, SESSIONS_A_YEAR).values


PAIRED = (
    *("sharpe_difference", "sharpe_difference_se", "p", "p_hac", "low", "high", "paired_low", "paired_high"),
    *("detectable", "return_difference", "return_low", "return_high", "return_p", "correlation", "tracking_error"),
    *("sessions_needed", "block"),
)


def _compare_series(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], same: str | None, draws: int, seed: int
) -> dict[str, Measure]:
    n = len(a[0])
    if n < FEWEST_COMMON:
        why = f"{n} common sessions, fewer than {FEWEST_COMMON}" if n else "no session in common"
        return dict.fromkeys(PAIRED, Undefined(why))
    if same:
        return dict.fromkeys(PAIRED, Undefined("the returns are the same"))
    found = compare(a[0] - a[1], b[0] - b[1], 0.0, SESSIONS_A_YEAR, draws=draws, seed=seed)
    return {
        **_sharpes(found, _plain_difference(a, b)),
        **_returns_apart(a[0] - b[0], draws, seed),
        "correlation": correlation(a[0], b[0]),
        "tracking_error": tracking_error(a[0], b[0], SESSIONS_A_YEAR),
    }


def _plain_difference(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> Measure:
    """SR a − SR b, annual, where both exist: it stands where nothing can be said of its error."""
    one, other = (sharpe(returns, free, SESSIONS_A_YEAR) for returns, free in (a, b))
    if isinstance(one, Undefined) or isinstance(other, Undefined):
        return one if isinstance(one, Undefined) else other
    return one - other


def _sharpes(found: SharpeDifference | Undefined, apart: Measure) -> dict[str, Measure]:
    if not isinstance(found, Undefined) and not math.isfinite(found.high - found.low):
        found = Undefined("their returns differ in too few sessions for a test")
    if isinstance(found, Undefined):
        untested: dict[str, Measure] = dict.fromkeys([*PAIRED[:9], "sessions_needed", "block"], found)
        return {**untested, "sharpe_difference": apart}
    return {
        "sharpe_difference": found.difference,
        "sharpe_difference_se": found.error,
        "p": found.p,
        "p_hac": found.p_hac,
        "low": found.low,
        "high": found.high,
        "paired_low": found.paired_low,
        "paired_high": found.paired_high,
        "detectable": found.detectable,
        "sessions_needed": power.sessions_to_tell_apart(found.first, found.second, found.correlation, SESSIONS_A_YEAR),
        "block": float(found.block),
    }


def _returns_apart(apart: Floats, draws: int, seed: int) -> dict[str, Measure]:
    """Mean of a − b times 252, with its stationary-bootstrap interval and p; rows are resampled together."""
    mean = mean_of(apart, SESSIONS_A_YEAR, draws, seed)
    why = Undefined("the two returns differ by the same amount every session")
    ends = {"return_low": mean.low, "return_high": mean.high, "return_p": mean.p}
    return {"return_difference": mean.value, **{name: why if end is None else end for name, end in ends.items()}}


def _adjust_pairs(pairs: list[RunPair]) -> list[RunPair]:
    """With three runs or more: ``p_adjusted`` by Holm (1979) over all pairs that have a p, and what it leaves."""
    if len(pairs) == 1:
        return pairs
    judged = [pair for pair in pairs if pair["standing"] != "not assessable"]
    known = [pair for pair in judged if pair["values"]["p"] is not None]
    tested = [p for pair in judged if (p := pair["values"]["p"]) is not None]
    raised = adjust(tested, "holm").tolist() if tested else []
    for pair, p in zip(known, raised, strict=True):
        pair["values"]["p_adjusted"] = p
        pair["standing"] = judge_pair(pair["same"], pair["sessions"], pair["values"])
    return pairs
