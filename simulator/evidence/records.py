"""Types of what stands in a run folder as JSON: run.json and the files beside it (docs/decisions/0002-run-folder.md).

They are the documents themselves, no copies; `schema.check` holds a document against its type. Rows of CSV files hold
values of `trading.model`, records of councils those of `council.records`. Metrics are named as in `stats.metrics`; what
is undefined is None and has its reason in ``reasons``. Dates are ISO texts, money is in dollars, returns are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

SCHEMA = 3
"""Version of run.json that is written. Version 2 lacks keys that no version 3 may lack, version 1 knows no accounts."""

Record = Mapping[str, object]
"""The record of a decision; that of a council is found by `simulator.council.records.council_record`."""
Metrics = Mapping[str, float | None]
Reasons = Mapping[str, str]
Benchmark = Mapping[str, float | Reasons | None]
"""Metrics of a benchmark, its ``sharpe_ci_low`` and ``sharpe_ci_high``, and their ``reasons``."""

Span = TypedDict("Span", {"from": str, "to": str})
OpenSpan = TypedDict("OpenSpan", {"from": str | None, "to": str | None})


class Code(TypedDict):
    digest: str
    version: NotRequired[str]
    commit: str | None
    dirty: bool | None


class Identity(Span):
    """The run before anything is asked: what is run on what. ``to`` is the last session."""

    run_id: str
    schema: int
    strategy: str
    symbols: list[str]
    models: str | None
    parameters: Mapping[str, object]
    cash: float
    config: dict[str, dict[str, object]]
    cutoffs: dict[str, str]
    strategy_files: dict[str, str]
    data_digest: str
    code: Code | None
    command: str
    analysts: str | None
    sources: dict[str, str]
    context: dict[str, str]
    notes: list[str]
    packages: dict[str, str]
    definition: NotRequired[str]
    """Digest of what a rule's file does, whatever its name, comments and layout."""
    bars: NotRequired[str]
    """Folder whose bars came before those of the workspace, relative to it where it lies within."""


class Stopped(TypedDict):
    """Reason why a partial run ended, and how far it was to go: decisions, last session, replicates."""

    why: str
    decided: int
    planned: int
    to: str
    replicates: int


class Spread(TypedDict):
    mean: float | None
    min: float | None
    max: float | None
    sd: float | None


class Replicates(TypedDict):
    """Number of times each question was asked; for several the spread of each metric over them."""

    count: int
    metrics: NotRequired[dict[str, Spread]]


class CallCosts(TypedDict):
    calls: int
    cost_usd: float


class Llm(CallCosts):
    """The questions of a run; ``served`` is {seat: models that answered}, an empty name where that was not recorded."""

    failed: int
    analysts: str | None
    models: list[str]
    served: NotRequired[dict[str, list[str]]]
    cache_entries: str


class AccountAudit(TypedDict):
    max_relative_difference: float


class SliceRecord(Span):
    """Sessions of the audited slice of a run, named by its digest, and what it holds; ``of`` is how many bars."""

    bars: int
    fills: int
    dividends: int
    rejections: int
    of: int


class Audit(AccountAudit):
    """The engine that played and the one that audited: everything, or a ``slice``."""

    engine: str
    auditor: str
    slice: NotRequired[SliceRecord]


class ConvictionLevel(TypedDict):
    conviction: int
    n: int
    mean_return: float | None
    low: float | None
    high: float | None


class Calibration(TypedDict):
    """Conviction against what followed; see :func:`simulator.analysis.calibration.calibration`."""

    n: int
    open: int
    unpriced: int
    unstated: int
    horizon_sessions: float | None
    ic: float | None
    ic_low: float | None
    ic_high: float | None
    by_conviction: list[ConvictionLevel]
    reasons: dict[str, str]


class ReviewSkill(TypedDict):
    """Review scores against what followed; see :func:`simulator.analysis.calibration.reviews`."""

    n: int
    correlation: float | None
    low: float | None
    high: float | None
    mean_score: float | None
    reasons: dict[str, str]


class AccountRecord(TypedDict):
    """One account of a council."""

    name: str
    seat: str
    model: str
    decisions: int
    metrics: Metrics
    reasons: Reasons
    sharpe_ci_low: float | None
    sharpe_ci_high: float | None
    llm: CallCosts | None
    calibration: Calibration | None
    reviews: ReviewSkill | None
    audit: AccountAudit | None


class CostRow(TypedDict):
    multiple: float
    costs_paid: float
    metrics: Metrics


class ToggleRow(TypedDict):
    """The run's decisions filled at another moment; see :mod:`simulator.analysis.toggles`."""

    name: str
    what: str
    default: bool
    looks_ahead: bool
    metrics: Metrics
    reasons: Reasons
    sharpe_ci_low: float | None
    sharpe_ci_high: float | None
    sharpe_less_default: float | None
    total_return_less_default: float | None


class FailedAnswer(TypedDict):
    session: str
    replicate: int
    stage: str
    seat: str
    about: NotRequired[str]
    error: str


class Undecided(TypedDict):
    session: str
    replicate: int
    why: str


class Shortfalls(TypedDict):
    """Questions put at how many meetings, answers that could not be used, and meetings these kept from deciding."""

    meetings: int
    answers: int
    failed: list[FailedAnswer]
    no_decision: list[Undecided]


class ModelRecord(TypedDict):
    """A model asked for, those that ``served`` in its seats where that was recorded, and their latest cut-off."""

    model: str
    served: NotRequired[list[str]]
    provider: str
    seats: list[str]
    cutoff: str | None
    note: str | None


class SkillRecord(TypedDict):
    """Returns beyond the run's own usual exposure, and their test; see :mod:`simulator.stats.skill`.

    Returns are means times 252: ``exposure`` + ``choosing`` + ``costs`` = ``excess``, ``choosing`` + ``costs`` =
    ``beyond`` with its 95 % interval. ``ratio``, ``skew`` and ``kurtosis`` are of ``beyond``, per session;
    ``decisions`` are sessions on which targets changed or a bracket closed a position.
    """

    sessions: int
    decisions: int
    idle: bool
    excess: float | None
    exposure: float | None
    choosing: float | None
    costs: float | None
    beyond: float | None
    beyond_low: float | None
    beyond_high: float | None
    p: float | None
    p_mean: float | None
    p_ratio: float | None
    p_worse: float | None
    t: float | None
    degrees: int | None
    ratio: float | None
    skew: float | None
    kurtosis: float | None
    p_excess: float | None
    reason: str | None
    level: NotRequired[float]
    p_level: NotRequired[float | None]
    """Of ``beyond``, the reward of an exposure that moved one way, and the p without it where it is a gain."""
    anchor: NotRequired[float | None]
    """Correlation of the weights with prices since the start: near −1 for a book anchored to them."""
    against: NotRequired[str]
    """Name of the returns that this lies beyond, where those are given and positions are not known."""


class PartRecord(OpenSpan):
    """Returns of one part of the cut-off split."""

    sessions: int
    assessable: bool
    total_return: float | None
    annual_return: float | None
    sharpe: float | None
    sharpe_p_hac: float | None
    sharpe_ci_low: float | None
    sharpe_ci_high: float | None
    alpha: float | None
    beta: float | None
    alpha_t: float | None
    reasons: Reasons
    decisions: int
    skill: NotRequired[SkillRecord | None]


class AlphaDecay(TypedDict):
    value: float | None
    low: float | None
    high: float | None
    flagged: bool
    draws: int
    convention: str
    reason: str | None


class Disagreement(TypedDict):
    meetings: int
    across: float | None
    within: float | None
    difference: float | None
    low: float | None
    high: float | None
    reasons: dict[str, str]
    elsewhere: float | None


class Contamination(TypedDict):
    """The cut-off split; keys are explained in docs/contamination.md."""

    verdict: str
    flagged: bool
    assessable: bool
    mend: str | None
    models: list[ModelRecord]
    cutoff: str | None
    grey_until: str | None
    benchmark: str
    parts: dict[Literal["before", "grey", "after"], PartRecord] | None
    alpha_decay: AlphaDecay | None
    disagreement: Disagreement | None


class JudgedRun(Span):
    """The part of run.json that a verdict rests on; returns from elsewhere are judged by it too."""

    partial: bool
    stopped: NotRequired[Stopped]
    sessions: int
    analysts: str | None
    metrics: Metrics
    reasons: Reasons
    inference: Metrics
    skill: NotRequired[SkillRecord | None]
    """None in runs of earlier versions, and where only returns are known."""
    benchmarks: dict[str, Benchmark]
    replicates: Replicates
    contamination: Contamination | None
    llm: Llm
    shortfalls: Shortfalls
    risk_free: str


class Findings(TypedDict):
    """Answers of analysis to questions about the run."""

    accounts: list[AccountRecord]
    execution_toggles: list[ToggleRow]
    contamination: Contamination | None


class RunRecord(Identity, Findings, JudgedRun):
    """run.json; `bars_until` is the session up to which there were bars of all symbols, perhaps later than its last."""

    digest: str
    account: str | None
    cost_sensitivity: list[CostRow]
    audit: Audit | None
    bars_until: NotRequired[str]
    bar_months: NotRequired[dict[str, list[str]]]
    parts: NotRequired[dict[str, str]]
    """Digests of the traded bars by month (`market.months`), and {file: sha256} of all written with it but trials.json,
    runtime.json and the report; neither in folders of 0.1."""


class TargetRow(TypedDict):
    """A target as wanted; what is None or empty is left out."""

    symbol: str
    weight: float
    order: Literal["market", "limit"]
    limit: NotRequired[float]
    stop: NotRequired[float]
    take_profit: NotRequired[float]
    conviction: NotRequired[int]
    reason: NotRequired[str]
    exits: NotRequired[list[list[float]]]


class DecisionRow(TypedDict):
    """A line of decisions.jsonl: the targets as wanted, the weights risk limits allowed, and what they cut."""

    as_of: str
    session: str
    targets: list[TargetRow]
    allowed: dict[str, float]
    cuts: list[str]
    record: Record


class CallRow(TypedDict):
    """A line of llm_calls.jsonl: one question, the model asked and the one that ``served``, empty where not recorded,
    and what the answer cost when it was paid for; ``cached_tokens`` where its service read part of the prompt from a
    cache of its own."""

    key: str
    session: str
    stage: str
    seat: str
    replicate: int
    provider: str
    model: str
    served: NotRequired[str]
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    cached_tokens: NotRequired[int]


class Runtime(TypedDict):
    """runtime.json: the only file beside trials.json that differs between reruns."""

    seconds: float
    asked: int
    cached: int
    cost_usd: float
    lost_usd: float
    python: str
    machine: str
    asked_by: NotRequired[Literal["tool"]]


class TrialRow(TypedDict):
    run_id: str
    digest: str
    strategy: str
    symbols: list[str]
    first: str
    last: str
    partial: bool
    folder: str
    sessions: int
    sharpe: float | None
    why: NotRequired[str]
    figures: NotRequired[list[float | None]]
    sweep: NotRequired[dict[str, object] | None]


class HeldOut(TypedDict):
    chosen_on: TrialRow | None
    seen_by: TrialRow | None


class TrialsRecord(TypedDict):
    """trials.json: what the run was chosen among; see :func:`simulator.analysis.trials.trials_facts`."""

    run_id: str
    digest: str
    summary: NotRequired[str]
    at_least: NotRequired[str]
    inference: Metrics
    reasons: Reasons
    counted: list[TrialRow]
    left_out: list[TrialRow]
    held_out: NotRequired[HeldOut]


class PairRecord(TypedDict):
    """See :class:`simulator.analysis.pairs.Pair`."""

    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    p: float | None
    p_adjusted: float | None
    detectable: float | None
    annual_return: float | None
    annual_return_low: float | None
    annual_return_high: float | None
    same: bool
    reason: str | None


class VariantRecord(TypedDict):
    name: str
    part: str
    what: str
    seat: str | None
    who: NotRequired[str]
    account: str | None
    metrics: Metrics
    reasons: Reasons
    skill: NotRequired[SkillRecord]
    judgement: NotRequired[str]
    """Words of the verdict on the variant by itself, as one trial."""
    against: str | None
    meetings_changed: int | None
    pair: PairRecord | None
    verdict: str | None


class Choice(TypedDict):
    """The manager that "best single manager" followed at a meeting, and what each had earned by then."""

    as_of: str
    seat: str | None
    results: dict[str, float]


class About(Span):
    """Run that an added file was made of."""

    run_id: str
    digest: str
    strategy: str
    analysts: str | None
    symbols: list[str]
    partial: bool
    command: str
    altered: NotRequired[str]
    """What had changed in the run's folder when the file was made; missing where nothing had."""


def about(run: RunRecord, altered: str = "") -> About:
    """Return the beginning of a file about `run`; `altered` as in `About`."""
    found: About = {
        "run_id": run["run_id"],
        "digest": run["digest"],
        "strategy": run["strategy"],
        "analysts": run["analysts"],
        "symbols": run["symbols"],
        "from": run["from"],
        "to": run["to"],
        "partial": run["partial"],
        "command": run["command"],
    }
    return {**found, "altered": altered} if altered else found


class AblationRecord(About):
    """ablation.json; see :func:`simulator.analysis.ablation.ablate`."""

    sessions: int
    judged: NotRequired[int | None]
    cash: float
    meetings: int
    checkpoints: int
    variants: list[VariantRecord]
    choices: list[Choice]
    compared: int
    adjustment: str
    notes: list[str]


class FigureRecord(TypedDict):
    """One number of a check with its 95 % interval and p where there are any; `unit` says how it is written."""

    name: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    p: float | None
    note: str


class ComparedRecord(TypedDict):
    """A comparison the run is part of: its folder beside that of the run, and the names of the other runs."""

    folder: str
    others: list[str]


class Comparisons(TypedDict):
    """comparisons.json, the newest first."""

    comparisons: list[ComparedRecord]


class RangeRecord(TypedDict):
    low: float
    likely: float
    high: float


class CheckBill(TypedDict):
    calls: int
    hits: int
    misses: int
    usd: RangeRecord


class CheckRecord(TypedDict):
    """One check; without figures where models would have had to be asked."""

    name: str
    title: str
    what: str
    outcome: str
    verdict: str
    figures: list[FigureRecord]
    notes: list[str]
    bill: CheckBill


class Checks(About):
    """checks.json."""

    verdict: str
    checks: dict[str, CheckRecord]
