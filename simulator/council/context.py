"""The state of a council's pipeline: immutable, grown by one field per stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from math import fsum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simulator.council.answers import Answer, ChairmanDecision, CheckpointReview, Pitch, ResearchPack, Review
from simulator.council.records import Facts

if TYPE_CHECKING:
    from simulator.council.revision import Revision
    from simulator.council.shortlist import Shortlist
    from simulator.council.stages.execution import Executed
    from simulator.council.thesis import Followed

A = TypeVar("A", bound=Answer)

Metadata = Mapping[str, Any]

KEPT = ("as_of", "metadata", "no_decision")
"""Fields every stage may read: what the date is and who sits where."""


@dataclass(frozen=True)
class Answered(Generic[A]):
    """The answer of one seat to one question.

    Attributes
    ----------
    seat : who was asked
    keys : of the answers in the LLM cache: one, or two where the first had to be repaired
    value : the typed answer; None where there was none that could be used, and then `error` says why
    about : the seat whose pitch was reviewed, in a review; the instrument, at a checkpoint
    fixes : slips of the answer that were read all the same, and how
    """

    seat: str
    keys: tuple[str, ...]
    value: A | None
    error: str | None = None
    about: str | None = None
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipelineContext:
    """The state that travels from stage to stage. Each stage returns a new one with its own field filled in.

    Attributes
    ----------
    as_of : the instant of the meeting; nothing later is known
    user_query : the question put to the council
    facts : of the market, see :func:`simulator.council.facts.market_facts`
    research_packs, pm_pitches, peer_reviews, chairman_decision : the answers of the four stages that ask
    execution_results : one target per traded symbol, and why (see stages/execution.py)
    theses, checkpoint_reviews, revisions : at a checkpoint, the theses open since the meeting, their holders' answers,
        and what these change
    metadata : ``timestamps`` (of market time, none of the clock), ``seats`` {seat: provider/model}, ``prompts``
        {file: first 12 hex digits of its sha256}; at a checkpoint also ``symbols`` and ``meeting``
    no_decision : why the meeting ended without a decision (a stage missed its quorum), else None
    shortlist : the symbols the meeting is about, where it is not about all
    """

    as_of: datetime
    user_query: str = ""
    facts: Facts = field(default_factory=lambda: Facts(as_of="", symbols={}))
    research_packs: tuple[Answered[ResearchPack], ...] = ()
    pm_pitches: tuple[Answered[Pitch], ...] = ()
    peer_reviews: tuple[Answered[Review], ...] = ()
    chairman_decision: Answered[ChairmanDecision] | None = None
    execution_results: tuple[Executed, ...] = ()
    theses: tuple[Followed, ...] = ()
    checkpoint_reviews: tuple[Answered[CheckpointReview], ...] = ()
    revisions: tuple[Revision, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    no_decision: str | None = None
    shortlist: Shortlist | None = None

    def only(self, names: Iterable[str]) -> PipelineContext:
        """Return the same context with every field blank that is not among `names`, those a stage declared it reads."""
        kept = {*names, *KEPT}
        return PipelineContext(**{f.name: getattr(self, f.name) for f in fields(self) if f.name in kept})

    def without(self, seats: Iterable[str]) -> PipelineContext:
        """Return the context without the pitches of `seats`, the reviews of them and those they wrote."""
        left_out = frozenset(seats)
        if not left_out:
            return self
        return replace(
            self,
            pm_pitches=tuple(one for one in self.pm_pitches if one.seat not in left_out),
            peer_reviews=tuple(one for one in self.peer_reviews if not left_out & {one.seat, one.about}),
        )

    @property
    def pitches(self) -> dict[str, Pitch]:
        """{seat: pitch} of the managers who answered, in seat order."""
        return {one.seat: one.value for one in self.pm_pitches if one.value is not None}

    def score(self, seat: str) -> float | None:
        """Mean review score of the pitch of `seat`, 1 … 10; None where nobody reviewed it."""
        # fsum here and wherever floats are added: since Python 3.12 `sum` rounds otherwise, and ties break otherwise.
        means = [one.value.scores.mean for one in self.peer_reviews if one.about == seat and one.value is not None]
        return fsum(means) / len(means) if means else None
