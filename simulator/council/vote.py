"""The weighing of votes: who voted for what at a meeting, the net votes, and the decision they make by themselves.

Used by the offline chairman, by councils without a chairman, and by every analysis of recorded votes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

from pydantic import Field, model_validator

from simulator.config import Section

if TYPE_CHECKING:
    from simulator.council.context import PipelineContext
    from simulator.council.records import ApprovedRow, ChairmanAnswer, MeetingRecord, PitchAnswer, RejectedRow

VOTE = "vote"
"""Stands in for the chairman's seat where a council has no chairman."""

NEUTRAL_SCORE = 6.0
"""A pitch reviewed at this mean score, or not at all, counts with its full conviction."""

FULL = 3.0
"""Net votes from which the council has full conviction (±2)."""

HALF = 1.0
"""Net votes from which it has half conviction (±1); below, the instrument is left out."""


@dataclass(frozen=True)
class Vote:
    """A pitch as a vote: conviction −2 … +2 on one instrument over a horizon, in the words of the pitch.

    `score` is the mean review score, 1 … 10; None where nobody reviewed the pitch. `seat` is the weight of its caster.
    """

    instrument: str
    conviction: int
    score: float | None = None
    horizon: str = ""
    seat: float = 1.0
    neutral: float = NEUTRAL_SCORE

    @property
    def weight(self) -> float:
        """Signed: conviction × score / neutral score × weight of the seat."""
        return self.conviction * (self.neutral if self.score is None else self.score) / self.neutral * self.seat


class ReviewSummary(TypedDict):
    """Reviews of one pitch. Means over reviewers; texts in alphabetical order, which says nothing of who wrote them."""

    mean_score: float
    scores: NotRequired[dict[str, float]]
    kill_shots: NotRequired[list[str]]
    flip_conditions: NotRequired[list[str]]


class Ballot(TypedDict):
    """Ground of a decision by vote, as it stands in the chairman's prompt.

    ``net_votes`` {instrument: votes}, ``sizes`` {half, full: e.g. "10%"}; ``pitches`` and ``reviews`` by label or seat.
    """

    max_trades: int
    net_votes: dict[str, float]
    pitches: Mapping[str, PitchAnswer]
    reviews: Mapping[str, ReviewSummary]
    sizes: Mapping[str, str]


class VoteRule(Section):
    """The vote of a council without a chairman; `weights` count in the net votes that a chairman is shown, too.

    A seat of weight 0 is left out: its pitch, the reviews of it and those it wrote. Seats without a weight have 1.
    """

    half: Annotated[float, Field(gt=0, le=1000)] = HALF
    full: Annotated[float, Field(gt=0, le=1000)] = FULL
    """Net votes of half and of full conviction."""
    neutral: Annotated[float, Field(ge=1, le=10)] = NEUTRAL_SCORE
    """Mean review score at which a pitch counts with its conviction."""
    weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default={})

    @model_validator(mode="after")
    def _check_order(self) -> VoteRule:
        if self.half > self.full:
            raise ValueError(f"half conviction at {self.half:g} net votes, full at {self.full:g}: give half the fewer")
        return self

    @property
    def silent(self) -> frozenset[str]:
        """Seats that are left out."""
        return frozenset(seat for seat, weight in self.weights.items() if not weight)

    def vote(self, seat: str, instrument: str, conviction: int, score: float | None, horizon: str = "") -> Vote:
        """Return the vote that `seat` casts."""
        return Vote(instrument, conviction, score, horizon, self.weights.get(seat, 1.0), self.neutral)


USUAL = VoteRule()


def votes_of(meeting: PipelineContext | MeetingRecord, rule: VoteRule = USUAL) -> dict[str, Vote]:
    """Return {seat: vote} of those who gave a usable pitch, in the order in which they stand in `meeting`.

    Scores of a record are rounded to three decimals.
    """
    if isinstance(meeting, dict):
        pitches = {row["seat"]: row["answer"] for row in meeting["pitches"] if "answer" in row}
        return {
            seat: rule.vote(
                seat, pitch["instrument"], pitch["conviction"], meeting["scores"].get(seat), pitch["horizon"]
            )
            for seat, pitch in pitches.items()
        }
    return {
        seat: rule.vote(seat, pitch.instrument, pitch.conviction, meeting.score(seat), pitch.horizon)
        for seat, pitch in meeting.pitches.items()
    }


def net_votes(votes: Mapping[str, Vote], digits: int = 2) -> dict[str, float]:
    """Return {instrument: sum of weighted convictions, rounded}, instruments in alphabetical order."""
    net: dict[str, float] = {}
    # Added in the order of seat names, so that the order of seats in strategy.yaml changes no last digit.
    for _, vote in sorted(votes.items(), key=lambda item: item[0]):
        net[vote.instrument] = net.get(vote.instrument, 0.0) + vote.weight
    return {instrument: round(net[instrument], digits) + 0.0 for instrument in sorted(net)}


def conviction_of(net: float, rule: VoteRule = USUAL) -> int:
    """Return the council's conviction for `net` votes: at a fair score one manager alone carries no more than ±1."""
    size = 2 if abs(net) >= rule.full else 1 if abs(net) >= rule.half else 0
    return size if net > 0 else -size


def decide_by_vote(ballot: Ballot, rule: VoteRule = USUAL) -> ChairmanAnswer:
    """Return the council's decision as the chairman's schema has it, by the netted votes alone."""
    net, pitches = ballot["net_votes"], ballot["pitches"]
    ranked = sorted(net, key=lambda instrument: (-abs(net[instrument]), instrument))
    chosen = [instrument for instrument in ranked if conviction_of(net[instrument], rule)][: ballot["max_trades"]]
    approved = [_approve(instrument, net[instrument], ballot, rule) for instrument in chosen]

    def sentences(words: Callable[[str, PitchAnswer], str], agreeing: bool) -> list[str]:
        return [
            words(label, pitch)
            for trade in approved
            for label, pitch in sorted(pitches.items(), key=lambda item: item[0])
            if pitch["instrument"] == trade["instrument"] and (pitch["direction"] == trade["direction"]) is agreeing
        ]

    against = sentences(lambda label, pitch: f"Pitch {label} wanted {pitch['instrument']} {pitch['direction']}", False)
    watched = sentences(lambda _, pitch: f"{pitch['instrument']}: {pitch['invalidation']}", True)
    return {
        "approved_trades": approved,
        "rejected_trades": [_reject(one, net[one], ballot, rule) for one in ranked if one not in chosen],
        "dissent_summary": "; ".join(against) + "." if against else "No pitch opposes an approved trade.",
        "monitoring_plan": " ".join(dict.fromkeys(watched)) or "Nothing is held; meet again on the next date.",
    }


def _approve(instrument: str, net: float, ballot: Ballot, rule: VoteRule) -> ApprovedRow:
    conviction = conviction_of(net, rule)
    bar, size = (rule.full, "full") if abs(conviction) == 2 else (rule.half, "half")
    reached = f"{net:+.2f} ≥ {bar:+.1f}" if net > 0 else f"{net:+.2f} ≤ {-bar:+.1f}"
    return {
        "instrument": instrument,
        "direction": "LONG" if net > 0 else "SHORT",
        "conviction": conviction,
        "position_size": ballot["sizes"][size],
        "rationale": f"Net votes {reached}: {_votes_in_words(instrument, ballot)}.",
    }


def _reject(instrument: str, net: float, ballot: Ballot, rule: VoteRule) -> RejectedRow:
    few = f"Net votes {net:+.2f} are too few"
    why = f"There are {ballot['max_trades']} stronger trades" if conviction_of(net, rule) else few
    return {
        "instrument": instrument,
        "direction": "LONG" if net > 0 else "SHORT" if net < 0 else "FLAT",
        "reason": f"{why}: {_votes_in_words(instrument, ballot)}.",
    }


def _votes_in_words(instrument: str, ballot: Ballot) -> str:
    words = []
    for label, pitch in sorted(ballot["pitches"].items(), key=lambda item: item[0]):
        if pitch["instrument"] == instrument:
            review = ballot["reviews"].get(label)
            score = f" (score {review['mean_score']})" if review and review["mean_score"] else ""
            words.append(f"Pitch {label} {pitch['conviction']:+d}{score}")
    return ", ".join(words)
