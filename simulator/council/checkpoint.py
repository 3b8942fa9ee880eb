"""Checkpoints as Strategies: between meetings the council and its managers read their open theses again.

minutes of the occasion before ──► open theses ──trace──► CheckpointStage ──► revise    opine: market and minutes
                                                                                │
                                                          Book ──► execute ◄────┘       decide: no question
                                                                      │
                                                                      ▼
                                                           Decision(targets, record)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.config import Seat
from simulator.council.context import PipelineContext
from simulator.council.facts import checkpoint_facts, select_facts
from simulator.council.keep_opinion import checkpoint_row, read_checkpoint
from simulator.council.records import DecisionRecord
from simulator.council.revision import Revision, execute, revise
from simulator.council.shortlist import priced_symbols
from simulator.council.stages.checkpoint import CheckpointStage
from simulator.council.thesis import Followed, open_theses, trace
from simulator.council.write_record import checkpoint_minutes, execution_row, revision_row
from simulator.market.bars import Snapshot
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.strategy import Reads

if TYPE_CHECKING:
    from simulator.council.strategy import Council


class Checkpoint:
    """The council between its meetings. Keeps no state: what is open it reads from the minutes handed to it."""

    reads: Reads = "minutes"
    cadence: Cadence = "daily"
    checkpoint: None = None
    """A checkpoint has none of its own."""

    def __init__(self, council: Council) -> None:
        self.council = council
        self.name: str = council.name
        self.window: int = council.window

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The model in every seat of the council."""
        return self.council.seats

    @property
    def questions(self) -> Mapping[str, int]:
        """{"checkpoint": questions one can ask at most}."""
        return {"checkpoint": self.council.spec.checkpoint_questions}

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> PipelineContext:
        """The theses open by the minutes in `journal`, traced to `snapshot`, and what their holders say now.

        Without minutes of a meeting or checkpoint nothing is open.
        """
        said = await CheckpointStage().run(self.open(snapshot, journal), self.council.setup)
        return replace(said, revisions=revise(said, self.council.spec))

    def open(self, snapshot: Snapshot, journal: Sequence[Decision]) -> PipelineContext:
        """The context a checkpoint starts with: the open theses as they stand, and the facts of their symbols."""
        record: Mapping[str, Any] = journal[-1].record if journal else {}
        spec = self.council.spec
        theses = tuple(Followed(one, trace(one, snapshot.bars)) for one in open_theses(record))
        asked = {one.thesis.instrument for one in theses if one.live}
        symbols = [symbol for symbol in snapshot.symbols if symbol in asked]
        facts = checkpoint_facts(snapshot, symbols, spec.cash, spec.volatility_index)
        meeting = record.get("meeting") or record.get("facts", {}).get("as_of")
        metadata = {**self.council.metadata(snapshot), "meeting": meeting, "symbols": priced_symbols(snapshot)}
        if "may_hold" in record:
            metadata["may_hold"] = record["may_hold"]
        return PipelineContext(
            as_of=snapshot.as_of,
            user_query=self.council.question,
            facts=select_facts(facts, spec.facts),
            theses=theses,
            metadata=metadata,
        )

    @property
    def basis(self) -> str | None:
        return self.council.basis and f"checkpoint {self.council.basis}"

    def write_opinion(self, opinion: PipelineContext) -> Mapping[str, object]:
        return checkpoint_row(opinion)

    def read_opinion(self, content: DecisionRecord, snapshot: Snapshot) -> PipelineContext:
        opened = PipelineContext(snapshot.as_of, self.council.question, metadata=self.council.metadata(snapshot))
        read = read_checkpoint(opened, content)
        return replace(read, revisions=revise(read, self.council.spec))

    def minutes(self, opinion: PipelineContext) -> Mapping[str, Any]:
        """The record of a checkpoint before any account acted on it; JSON-able."""
        return checkpoint_minutes(opinion)

    def decide(self, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]) -> Decision:
        """Targets for the council's trades whose terms changed; everything else is left alone."""
        own = self._find_revisions(self.council.chair, opinion, _checkpoints_before(snapshot, journal))
        targets, done = _carry_out(own, opinion, self.council, book, snapshot)
        return Decision(snapshot.as_of, targets, {**checkpoint_minutes(opinion), **done})

    def decide_alone(
        self, seat: str, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]
    ) -> Decision:
        """A target for the thesis of the manager in `seat` where its terms changed, else none."""
        own = self._find_revisions(seat, opinion, _checkpoints_before(snapshot, journal))
        targets, done = _carry_out(own, opinion, self.council, book, snapshot)
        record = {
            "kind": "member_checkpoint",
            "meeting": opinion.metadata["meeting"],
            "thesis": revision_row(own[0], opinion.facts) if own else None,
            **done,
        }
        return Decision(snapshot.as_of, targets, record)

    def _find_revisions(self, seat: str, opinion: PipelineContext, before: int) -> list[Revision]:
        """Revisions that the account of `seat` carries out, after so many checkpoints of the session."""
        most = self.council.spec.trade.checkpoints_per_day
        return [one for one in opinion.revisions if one.thesis.seat == seat and (most is None or before < most)]


def _checkpoints_before(snapshot: Snapshot, journal: Sequence[Decision]) -> int:
    """Return the number of checkpoints of this session in `journal`."""
    count, session = 0, snapshot.as_of.astimezone(NEW_YORK).date()
    for one in reversed(journal):
        if one.as_of.astimezone(NEW_YORK).date() != session:
            break
        count += one.record.get("kind") in ("checkpoint", "member_checkpoint")
    return count


def _carry_out(
    revisions: Iterable[Revision], opinion: PipelineContext, council: Council, book: Book, snapshot: Snapshot
) -> tuple[tuple[Target, ...], dict[str, Any]]:
    """Targets, and what the record says of them: ``execution``, and ``notes`` where something was left alone."""
    results = [execute(one, opinion.facts, council.spec, book, snapshot.bars) for one in revisions]
    notes = [one for one in results if isinstance(one, str)]
    done = [one for one in results if one is not None and not isinstance(one, str)]
    record: dict[str, Any] = {"execution": [execution_row(one) for one in done]}
    return tuple(one.target for one in done), record | ({"notes": notes} if notes else {})
