"""Types of what stands in the folder of a sweep as JSON.

begun.json            what is being swept, until study.json is there
study.json            what was swept and what follows from it alone: the same study gives the same bytes
verdict.json          what depends on the workspace as well: trials outside the sweep, openings of the hold-out
runtime.json          seconds and places, which differ between reruns
chunks/*.parquet      members: settings and measures, a row each; chunks/*.npy (R, S) their d
inference.parquet     a row per member, see `MEMBER_COLUMNS`

d is what a member earned beyond its own usual exposure (:mod:`simulator.stats.skill`), per session. Ratios are those of
d, mean over standard deviation, a year (times √252). What is undefined is None. Members are numbers from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from simulator.evidence.records import Code, Reasons, SkillRecord, Span

SWEEP_SCHEMA = 1

SEAL = b"sim sweep"
"""Key of the metadata of a chunk's Parquet file."""

MEMBER_COLUMNS = {
    "ratio": "ratio of d a year; NaN where d does not vary",
    "t": "ratio over its bootstrap error",
    "p": "p of nothing beyond its exposure as one of all members: Romano-Wolf, and no less than its own p as one trial",
    "in_mcs": "in the model confidence set",
}
"""Columns of inference.parquet."""


class SealRecord(TypedDict):
    """Metadata of a chunk: digest of its study, its first member and the one after its last, sha256 (hex) of its table
    and of sums of the series beside it, and {member: why it could not be played}."""

    study: str
    members: list[int]
    table: str
    beyond: str
    failures: dict[str, str]


class SweepOrigin(Span):
    """begun.json: what a sweep that is not finished is of, so that its members count as trials.

    `run_id` names the sweep among runs; ``to`` is the last session before the hold-out.
    """

    run_id: str
    strategy: str
    symbols: list[str]
    sessions: int
    definition: str
    bar_months: dict[str, list[str]]
    data_digest: str
    command: str


class SweepIdentity(SweepOrigin):
    """The study and what it was played on; `digest` is that of its results: settings, measures and d of every
    member."""

    schema: int
    digest: str
    code: Code | None


class ParameterRecord(TypedDict):
    """A parameter and its values, or the range they are drawn from, `spread`; `kind` says where it acts."""

    name: str
    values: list[object]
    spread: dict[str, object] | None
    kind: NotRequired[str]


class StudyRecord(TypedDict):
    """The study as it was given."""

    search: str
    seed: int
    fixed: dict[str, object]
    parameters: list[ParameterRecord]
    constraints: list[str]
    hold_out: NotRequired[str | None]


class SweepCounts(TypedDict):
    """Members in all, those that failed, never held anything, or decided on too few sessions to be judged."""

    members: int
    failed: int
    idle: int
    few_decisions: int
    tested: int


class HistogramRecord(TypedDict):
    """`edges` (n + 1) and `counts` (n)."""

    edges: list[float]
    counts: list[int]


class OverfittingRecord(TypedDict):
    """Probability of backtest overfitting by CSCV; `scatter` are [in sample, out of sample] ratios a year of splits,
    evenly spaced among all."""

    blocks: int
    splits: int
    dropped: int
    pbo: float
    loss: float
    slope: float | None
    intercept: float | None
    logits: HistogramRecord
    scatter: list[list[float]]


class ConfidenceSetRecord(TypedDict):
    """Members that cannot be told from the best, at most 1,000 of `size`; `among` as many best ones were looked at."""

    level: float
    statistic: str
    among: int
    size: int
    members: list[int]


class RatioRecord(TypedDict):
    """Ratios of d, a year, against luck, of all members that can be judged: with enough decisions, if any has them.
    `reasons` are those of what is None.

    ``expected_maximum`` is the best ratio of as many members without skill, with the spread of luck, 1/√sessions, and
    ``ratio_sd`` the spread there was; ``sharpe_mean`` and ``sharpe_sd`` are of Sharpe ratios over cash.
    ``deflated`` is what is left of the best by the spread of luck and the plain
    number of members, as the verdict has it; ``dsr`` and ``dsr_effective`` take the published form.
    """

    best_ratio: float | None
    sharpe_mean: float | None
    sharpe_sd: float | None
    expected_maximum: float
    expected_maximum_effective: float
    ratio_mean: float | None
    ratio_sd: float | None
    ratio_skew: float | None
    ratio_kurtosis: float | None
    ratios: HistogramRecord
    deflated: float | None
    dsr: float | None
    dsr_effective: float | None
    minimum_backtest_years: float | None
    years: float
    reasons: Reasons


class SweepInference(RatioRecord):
    """Conclusions on all members.

    ``p`` is that of the best by step-down, ``reality_check_p`` that of the largest ratio. ``null_best`` are 101
    quantiles of the largest ratio of a replicate, ``null_t`` as many of the largest t: by them a run beside the sweep
    is judged as if it were a member.
    """

    members: int
    effective: float
    draws: int
    block: float
    seed: int
    judged_from: str | None
    best: int
    p: float
    significant: int
    reality_check_best: int
    reality_check_p: float
    null_best: list[float]
    null_t: list[float]
    overfitting: OverfittingRecord | None
    confidence_set: ConfidenceSetRecord | None


class SweptRow(SweepCounts):
    """A sweep as the store keeps it, beside what it keeps of a run: size, moments, and what a run beside it is
    judged by. Rows that an earlier build wrote lack some."""

    effective: float
    p: float
    ratio_mean: float | None
    ratio_sd: float | None
    ratio_skew: float | None
    ratio_kurtosis: float | None
    sharpe_mean: float | None
    sharpe_sd: float | None
    null_best: NotRequired[list[float]]
    null_t: list[float]
    draws: int
    block: float
    seed: int
    sessions: int
    paths: NotRequired[list[str]]
    """Digests of the runs that its walk-forwards played."""


class BestRecord(TypedDict):
    """The member the verdict speaks of: the smallest p among those with enough decisions."""

    member: int
    settings: dict[str, object]
    command: str
    measures: dict[str, float | None]
    interval: dict[str, float | None]
    """``sharpe_ci_low`` and ``sharpe_ci_high``: 95 %, by the stationary bootstrap."""
    skill: SkillRecord
    p: float


class FoldRecord(TypedDict):
    """A fold of a walk-forward: the member chosen on the sessions `train`, and what the account did on those of `test`.

    `in_sample` is the member's ratio on `train`, `out_of_sample` the account's on `test`, `rank` the fraction of all
    members that did worse on `test`, each played for itself, those that did as well counted half. `profit` is in
    dollars.
    """

    train: Span
    test: Span
    member: int
    settings: dict[str, object]
    in_sample: float | None
    rank: float | None
    out_of_sample: float | None
    total_return: float | None
    profit: float | None


class PathRecord(Span):
    """The account that followed the choices over all tests: a run of its own, made again by `command`."""

    run_id: str
    folder: str
    digest: str
    command: str
    sessions: int
    metrics: dict[str, float | None]
    skill: SkillRecord | None
    max_relative_difference: float | None


class DegradationRecord(TypedDict):
    """Loss from in sample to out of sample: mean ratio of the chosen where they were chosen, ratio of the whole path,
    what is kept of the first; `rank` the mean of folds (½ is what chance gives)."""

    in_sample: float | None
    out_of_sample: float | None
    kept: float | None
    rank: float | None


class SpreadRecord(TypedDict):
    """Spread from fold to fold out of sample: of the ratio, and the folds that gained."""

    mean: float | None
    deviation: float | None
    lowest: float | None
    highest: float | None
    gaining: int
    folds: int


class ConcentrationRecord(TypedDict):
    """Concentration of profit, in dollars: of all folds, without the best fold, without the ten best sessions;
    `best_fold` by its number from 0, `best_fold_share` its part of what gaining folds gained."""

    profit: float
    best_fold: int
    best_fold_share: float | None
    without_best_fold: float
    without_best_sessions: float


class StabilityRecord(TypedDict):
    """Stability of the choice: folds that changed it, distinct members, and {parameter: folds that changed it}."""

    changes: int
    distinct: int
    changes_by_parameter: dict[str, int]


class WalkForwardRecord(TypedDict):
    """Parameters chosen in sample, fold after fold, and the path of them played out of sample; one trial.

    What follows from the path is None where none was asked for.
    """

    words: str
    anchored: bool
    train: int
    test: int
    purge: int
    step: int
    criterion: str
    folds: list[FoldRecord]
    stability: StabilityRecord
    degradation: DegradationRecord
    spread: SpreadRecord
    path: PathRecord | None
    concentration: ConcentrationRecord | None
    notes: list[str]


class CombinatorialRecord(TypedDict):
    """Combinatorial purged cross-validation: parameters chosen on what is left of each split, judged on the rest.

    `chosen` holds the member of each split with its ratios; `rank` is the mean fraction of members that did worse on
    the tests. `ratios` are those of the paths through all sessions, put together of the chosen members' own d, without
    the cost of changing over; `loss` is the fraction of paths that earned nothing or less.
    """

    words: str
    folds: int
    test: int
    purge: int
    embargo: int
    criterion: str
    splits: int
    chosen: list[int]
    in_sample: list[float | None]
    out_of_sample: list[float | None]
    ratios: list[float | None]
    mean: float | None
    deviation: float | None
    loss: float
    rank: float
    notes: NotRequired[list[str]]


class MemoryRecord(TypedDict):
    """Memory of models that were asked: their latest knowledge `cutoff`, None where one is not known; sessions `after`
    it and its days of grace; `judged` of them the verdict rests on, None where they are too few."""

    cutoff: str | None
    after: int
    judged: int | None


class SweepRecord(TypedDict):
    """study.json."""

    identity: SweepIdentity
    study: StudyRecord
    counts: SweepCounts
    inference: SweepInference
    best: BestRecord
    memory: NotRequired[MemoryRecord]
    walk_forward: NotRequired[WalkForwardRecord | None]
    combinatorial: NotRequired[CombinatorialRecord | None]


class OpeningRecord(TypedDict):
    """One look at the hold-out: `at` (ISO, UTC), by which sweep and member, or by a run over its sessions."""

    at: str
    by: str
    member: int | None


class HoldOutRecord(Span):
    """The last sessions, kept from the sweep. `skill` is that of the best member on them, None while they are closed;
    `p` is corrected for all `results` over them, of whatever run or sweep (each member), of folders that are gone as
    well."""

    sessions: int
    opened: int
    results: NotRequired[int]
    openings: list[OpeningRecord]
    skill: SkillRecord | None
    p: float | None
    headline: str


class SweepVerdict(TypedDict):
    """verdict.json. `units` are the sweep and every run and sweep beside it; `trials` all results, members too."""

    digest: str
    standing: str
    headline: str
    details: list[str]
    p: float
    units: int
    trials: int
    summary: str
    at_least: str
    hold_out: HoldOutRecord | None


class SweepRuntime(TypedDict):
    """runtime.json: seconds of each part of the command that concluded, on the clock and of this process' processors;
    members it played, by whom, and where. Others were there before."""

    seconds: Mapping[str, float]
    cpu_seconds: Mapping[str, float]
    played: int
    executor: str
    threads: int
    python: str
    machine: str
