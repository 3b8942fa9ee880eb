"""Types of what ``sim council --json`` prints: a meeting held by itself, which leaves no run folder."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from simulator.council.records import ChairmanAnswer, ExecutionRow, PitchAnswer, ResearchAnswer, ReviewAnswer


class SeatAnswer(TypedDict):
    """An answer in the words of the handoff report; the fields of one that could not be used are missing.

    `model` is the provider and model asked, `served` the model that answered, empty where that was not recorded.
    """

    model: str | None
    served: str
    seat: str
    keys: list[str]
    error: NotRequired[str]


class ResearchResult(SeatAnswer, ResearchAnswer):
    pass


class PitchResult(SeatAnswer, PitchAnswer):
    account: str | None
    score: float | None


class ReviewResult(ReviewAnswer):
    reviewer_model: str | None
    pitch_author: str | None
    reviewer: str
    author: str
    keys: list[str]
    error: NotRequired[str]


class ChairmanResult(SeatAnswer, ChairmanAnswer):
    account: str | None


class StageResults(TypedDict, total=False):
    """Results of the stages; `labels` is {label the chairman saw: seat}, `allowed` {symbol: weight}."""

    research_pack: list[ResearchResult]
    pm_pitches: list[PitchResult]
    peer_reviews: list[ReviewResult]
    scores: dict[str, float]
    chairman_decision: ChairmanResult | None
    labels: dict[str, str]
    execution_results: list[ExecutionRow]
    allowed: dict[str, float]
    cuts: list[str]


class Spent(TypedDict):
    asked: int
    cached: int
    failed: int
    cost_usd: float


class MeetingFacts(StageResults):
    """Output of ``sim council --json``: the meeting, and the results of the stage that was asked for, or of all.

    `members` says who answers in each seat; `notes` are warnings of models that served in the place of others.
    """

    stage: str
    strategy: str
    models: str
    as_of: str
    session: str
    known_to: str | None
    moved: str | None
    symbols: list[str]
    members: dict[str, str]
    notes: list[str]
    no_decision: str | None
    metadata: dict[str, object]
    llm: Spent
