"""What a council knows at each point of its pipeline: immutable, grown by one field per stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from math import fsum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simulator.council.answers import Answer, ChairmanDecision, CheckpointReview, Pitch, ResearchPack, Review

if TYPE_CHECKING:
    from simulator.council.revision import Revision
    from simulator.council.stages.execution import Executed
    from simulator.council.thesis import Followed

A = TypeVar("A", bound=Answer)

KEPT = ("as_of", "metadata", "no_decision")
"""Fields every stage may read: what the date is and who sits where."""


@dataclass(frozen=True)
class Answered(Generic[A]):
    """What one seat answered to one question.

    Attributes
    ----------
    seat : who was asked
    keys : of the answers in the LLM cache: one, or two where the first had to be repaired
    value : the typed answer; None where there was none that could be used, and then `error` says why
    about : the seat whose pitch was reviewed, in a review; the instrument, at a checkpoint
    """

    seat: str
    keys: tuple[str, ...]
    value: A | None
    error: str | None = None
    about: str | None = None


@dataclass(frozen=True)
class PipelineContext:
    """The state that travels from stage to stage. Each stage returns a new one with its own field filled in.

    Attributes
    ----------
    as_of : the instant of the meeting; nothing later is known
    user_query : the question put to the council
    facts : what the market looks like, see :func:`simulator.council.facts.market_facts`
    research_packs, pm_pitches, peer_reviews, chairman_decision : the answers of the four stages that ask
    execution_results : one line per traded symbol, what is to be done and why (see stages/execution.py)
    theses, checkpoint_reviews, revisions : at a checkpoint, what is held since the meeting, what its holders make of
        it now, and what that makes of it
    metadata : ``timestamps`` (of market time, none of the clock), ``seats`` {seat: provider/model}, ``prompts``
        {file: first 12 hex digits of its sha256}; at a checkpoint also ``symbols`` and ``meeting``
    no_decision : why the meeting ended without a decision (a stage missed its quorum), else None
    """

    as_of: datetime
    user_query: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    research_packs: tuple[Answered[ResearchPack], ...] = ()
    pm_pitches: tuple[Answered[Pitch], ...] = ()
    peer_reviews: tuple[Answered[Review], ...] = ()
    chairman_decision: Answered[ChairmanDecision] | None = None
    execution_results: tuple[Executed, ...] = ()
    theses: tuple[Followed, ...] = ()
    checkpoint_reviews: tuple[Answered[CheckpointReview], ...] = ()
    revisions: tuple[Revision, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    no_decision: str | None = None

    def only(self, names: Iterable[str]) -> PipelineContext:
        """The same context with every field blank that is not among `names`: what a stage declared it reads."""
        kept = {*names, *KEPT}
        return PipelineContext(**{f.name: getattr(self, f.name) for f in fields(self) if f.name in kept})

    def having(self, **changes: Any) -> PipelineContext:
        """A copy with `changes`."""
        return replace(self, **changes)

    @property
    def pitches(self) -> dict[str, Pitch]:
        """{seat: pitch} of the managers who answered, in seat order."""
        return {said.seat: said.value for said in self.pm_pitches if said.value is not None}

    def score(self, seat: str) -> float | None:
        """Mean review score of the pitch of `seat`, 1 … 10; None where nobody reviewed it."""
        # fsum here and wherever floats are added: since Python 3.12 `sum` rounds otherwise, and ties break otherwise.
        means = [said.value.scores.mean for said in self.peer_reviews if said.about == seat and said.value is not None]
        return fsum(means) / len(means) if means else None
