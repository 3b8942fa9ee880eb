"""The council as a Strategy. Of more symbols than fit on its shortlist it sees that part.

Snapshot ──facts──► research ─► pitch ─► review ─► chairman ──► PipelineContext     opine: market only, 28 questions
                                                                      │
                                               Book ──► execution ◄───┘             decide: no question
                                                           │
                                                           ▼
                                                 Decision(targets, record)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from simulator.config import Seat
from simulator.council.checkpoint import Checkpoint
from simulator.council.context import PipelineContext
from simulator.council.earlier_theses import restore_meeting
from simulator.council.facts import listed_facts, market_facts, select_facts
from simulator.council.keep_opinion import meeting_row
from simulator.council.records import DecisionRecord, Facts
from simulator.council.shortlist import (
    SCREENED,
    Shortlist,
    held_by_minutes,
    priced_symbols,
    shortlist_by_rule,
)
from simulator.council.spec import CouncilSpec, Definition
from simulator.council.stages import (
    ChairmanStage,
    ExecutionStage,
    Gateway,
    PitchStage,
    ResearchStage,
    ReviewStage,
    Setup,
    Stage,
)
from simulator.council.stages.base import run_stages
from simulator.council.stages.execution import propose
from simulator.council.stages.shortlist import ShortlistStage
from simulator.council.thesis import new_york
from simulator.council.vote import VOTE
from simulator.council.write_record import evidence, member_evidence, minutes, stage_minutes
from simulator.errors import ConfigError, UsageError, did_you_mean
from simulator.llm.registry import seat_of
from simulator.market.bars import Snapshot
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.strategy import FOLLOWER, Reads


class Council:
    """Managers who pitch, review each other and leave the decision to a chairman.

    A `Committee` that is `Replicable` and may be `Checkpointed`. Keeps no state between calls: `opine` is a function of
    the snapshot and the answers of the gateway, `decide` of the opinion and the book.
    """

    def __init__(
        self,
        definition: Definition,
        seats: Mapping[str, Seat],
        gateway: Gateway,
        replicate: int = 0,
        accounts: Iterable[str] = ("COUNCIL",),
        traded: int = 0,
    ) -> None:
        """`seats` maps each seat of the definition (or ``*``) to a model. Raises ConfigError for a seat without one.

        Councils that differ in `replicate` put the same questions, each to be answered anew. `accounts` are names of
        accounts, struck out of what reviewers read as seats and models are. `traded` is the number of symbols: where
        they do not all fit on the shortlist and it holds what may be held, a meeting reads the minutes before it.
        """
        spec = definition.spec
        self.name: str = definition.name
        self.cadence: Cadence = spec.cadence
        self.window: int = spec.window
        self.definition = definition
        seated = _assign_seats(definition, seats)
        left_out = {seat: seats.get(seat, seats.get("*")) for seat in definition.left_out}
        struck = {seat: model for seat, model in left_out.items() if model is not None}
        self.setup = Setup(spec, definition.prompts, seated, gateway, replicate, tuple(sorted(set(accounts))), struck)
        self.stages = stages_of(spec)
        self._shown: Callable[[Facts], Facts] | None = None
        self.traded = traded
        listing = spec.listing
        follows = listing is not None and listing.held and traded > listing.size
        self.reads: Reads = "minutes" if follows else "market"

    @property
    def spec(self) -> CouncilSpec:
        return self.setup.spec

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The model in every seat that is asked something."""
        return self.setup.seats

    @property
    def questions(self) -> Mapping[str, int]:
        """{stage: questions a meeting asks when nobody fails}."""
        return self.spec.questions

    @property
    def question(self) -> str:
        """The question put to the council, on one line."""
        return " ".join(self.spec.user_query.split())

    @property
    def chairman(self) -> str:
        """Seat whose account trades for the council; nobody is asked there where there is no chairman."""
        return self.spec.stages.chairman.seat

    @property
    def chair(self) -> str:
        """Holder of the council's own trades: the chairman's seat, or ``vote`` where there is no chairman."""
        return self.chairman if self.spec.stages.chairman.enabled else VOTE

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The council between meetings; None where its definition has no checkpoints."""
        return Checkpoint(self) if self.spec.stages.checkpoint.enabled else None

    @property
    def members(self) -> tuple[str, ...]:
        """Seats that pitch, and can be followed one by one with :meth:`member`."""
        return self.spec.managers

    def put_question(self, question: str) -> Council:
        """Return the same council with another question put to it."""
        definition = replace(self.definition, spec=self.spec.model_copy(update={"user_query": question}))
        setup = self.setup
        seats = {**setup.left_out, **setup.seats}
        return Council(definition, seats, setup.gateway, setup.replicate, setup.accounts, self.traded)

    def for_replicate(self, replicate: int) -> Council:
        """The same council asking its questions once more, for the answers numbered `replicate`; 0 is the first."""
        seats = {**self.seats, **self.setup.left_out}
        return Council(self.definition, seats, self.setup.gateway, replicate, self.setup.accounts, self.traded)

    def showing(self, rewrite: Callable[[Facts], Facts]) -> Council:
        """The same council whose meetings are shown what `rewrite` makes of the facts."""
        other = self.for_replicate(self.setup.replicate)
        other._shown = rewrite
        return other

    def member(self, seat: str) -> Member:
        """The strategy that trades the pitch of the manager in `seat`, from the council's own opinions."""
        if seat not in self.members:
            raise UsageError(f'{self.name} has no manager "{seat}"{did_you_mean(seat, self.members)}')
        return Member(self, seat)

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> PipelineContext:
        """The meeting up to the chairman's decision."""
        return await self.hold(self.stages, snapshot, journal)

    @cached_property
    def basis(self) -> str | None:
        """The definition, its prompt files, who sits where, and what else its questions are made of, as JSON; None
        where facts are shown rewritten."""
        if self._shown is not None:
            return None
        parts = {
            "name": self.name,
            "files": dict(self.definition.files),
            "spec": self.spec.as_told.model_dump(mode="json"),
            "seats": {seat: model.model_dump(mode="json") for seat, model in self.seats.items()},
            "accounts": self.setup.accounts,
            "left out": {seat: model.model for seat, model in self.setup.left_out.items()},
            "replicate": self.setup.replicate,
        }
        return json.dumps(parts)

    def write_opinion(self, opinion: PipelineContext) -> Mapping[str, object]:
        return meeting_row(opinion)

    def read_opinion(self, content: DecisionRecord, snapshot: Snapshot) -> PipelineContext:
        return restore_meeting(snapshot.as_of, content, self.metadata(snapshot))

    async def hold(self, stages: Sequence[Stage], snapshot: Snapshot, journal: Sequence[Decision]) -> PipelineContext:
        """The meeting up to the last of `stages`: the shortlist where there is one, and what is said of it."""
        shortlist = None
        if (listing := self.spec.listing) is not None:
            held = held_by_minutes(journal) if listing.held else ()
            shortlist = shortlist_by_rule(snapshot, listing, held)
        if shortlist is not None and self.spec.screener is not None:
            context = self.open(snapshot, select_facts(self._facts_of(snapshot, snapshot.symbols), SCREENED))
            shortlist = await ShortlistStage(shortlist, snapshot).screen(context, self.setup)
        return await run_stages(stages, self.open(snapshot, shortlist=shortlist), self.setup, self._tell)

    def _tell(self, stage: str, context: PipelineContext) -> None:
        if (follower := FOLLOWER.get()) is not None:
            follower(stage, stage_minutes(stage, context, self.setup))

    def narrow(self, snapshot: Snapshot) -> Snapshot:
        """`snapshot` with the symbols that a rule puts on the shortlist alone: volumes rank them, and a market that is
        shown masked has none to go by."""
        listing = None if self.spec.screener else self.spec.listing
        shortlist = None if listing is None else shortlist_by_rule(snapshot, listing, ())
        return snapshot if shortlist is None else replace(snapshot, bars=snapshot.bars.select(shortlist.symbols))

    def open(
        self, snapshot: Snapshot, facts: Facts | None = None, shortlist: Shortlist | None = None
    ) -> PipelineContext:
        """The context a meeting starts with: the question, the facts, who sits where."""
        if facts is None:
            symbols = snapshot.symbols if shortlist is None else shortlist.symbols
            facts = select_facts(self._facts_of(snapshot, symbols), self.spec.facts)
        return PipelineContext(
            as_of=snapshot.as_of,
            user_query=self.question,
            facts=facts if self._shown is None else self._shown(facts),
            metadata=self.metadata(snapshot),
            no_decision=None if facts["symbols"] else "no symbol has had a bar yet",
            shortlist=shortlist,
        )

    def _facts_of(self, snapshot: Snapshot, symbols: Sequence[str]) -> Facts:
        spec = self.spec
        if spec.opening is None and len(symbols) == len(snapshot.symbols):
            return market_facts(snapshot, spec.cash, spec.volatility_index)
        benchmark, strongest = (spec.benchmark, spec.correlations) if spec.opening else ("", len(symbols))
        return listed_facts(snapshot, symbols, spec.cash, spec.volatility_index, benchmark, strongest)

    def metadata(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """Of a context: ``timestamps`` (``as_of``, and ``newest_bar``, its close), ``seats``, ``prompts``."""
        closed = snapshot.bars.closes_at
        newest = {"newest_bar": new_york(int(closed[-1]))} if len(closed) else {}
        return {"timestamps": {"as_of": new_york(snapshot.as_of), **newest}, **self._provenance}

    @cached_property
    def _provenance(self) -> Mapping[str, Any]:
        prompts = {name: digest[:12] for name, digest in self.definition.files.items() if name.endswith(".md")}
        return {"seats": {seat: f"{m.provider}/{m.model}" for seat, m in self.seats.items()}, "prompts": prompts}

    def minutes(self, opinion: PipelineContext) -> Mapping[str, Any]:
        """The record of a meeting before any account acted on it; JSON-able."""
        return minutes(opinion, self.setup)

    def decide(self, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]) -> Decision:
        """Targets for every symbol that has a price, or none at all where the meeting made no decision."""
        done = ExecutionStage().run(opinion, self.spec, book)
        targets = tuple(one.target for one in done.execution_results)
        unlisted = self._close_unlisted(snapshot, opinion, book, journal) if targets else ()
        return Decision(snapshot.as_of, (*targets, *unlisted), evidence(done, self.setup))

    def _close_unlisted(
        self, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]
    ) -> tuple[Target, ...]:
        """Targets of 0 for what the meeting was not about: nothing is held, or ordered, that nobody may speak of.

        Those of symbols in the `book`, and of symbols targeted since the meeting before; of all where there is none.
        """
        priced, listing = priced_symbols(snapshot), self.spec.listing
        if listing is None or len(priced) <= listing.size:
            return ()
        concerned = {symbol for symbol, shares in book.positions.items() if shares}
        for decision in reversed(journal):
            concerned |= {target.symbol for target in decision.targets if target.weight}
            if decision.record.get("kind") in ("council", "member"):
                break
        else:
            concerned |= {*priced}
        symbols = (s for s in snapshot.symbols if s in concerned and s not in opinion.facts["symbols"])
        return tuple(Target(symbol, 0.0, reason="not on the shortlist") for symbol in symbols)

    def decide_alone(
        self, seat: str, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]
    ) -> Decision:
        """The pitch of `seat` at its own conviction, out of everything else; no targets without a usable pitch."""
        pitch = opinion.pitches.get(seat)
        if pitch is None:
            return Decision(snapshot.as_of, (), member_evidence(opinion, seat, None))
        done = None
        if pitch.conviction:
            reason = pitch.thesis_bullets[0]
            done = propose(pitch, seat, pitch.conviction, reason, opinion.facts, self.spec).on(book)
        targets = tuple(
            done.target if done and symbol == pitch.instrument else Target(symbol, 0.0, reason="not pitched")
            for symbol in opinion.facts["symbols"]
        )
        targets = (*targets, *self._close_unlisted(snapshot, opinion, book, journal))
        return Decision(snapshot.as_of, targets, member_evidence(opinion, seat, done))


class Member:
    """One manager on its own: the council's opinions, its own decisions, at meetings or at checkpoints."""

    def __init__(self, council: Council | Checkpoint, seat: str) -> None:
        self.council, self.name = council, seat
        self.cadence: Cadence = council.cadence
        self.window: int = council.window
        self.reads: Reads = council.reads
        self.opine, self.minutes = council.opine, council.minutes

    @property
    def checkpoint(self) -> Member | None:
        """The manager between the council's meetings; None where there are no checkpoints."""
        checkpoint = self.council.checkpoint
        return None if checkpoint is None else Member(checkpoint, self.name)

    def decide(self, snapshot: Snapshot, opinion: PipelineContext, book: Book, journal: Sequence[Decision]) -> Decision:
        """Targets for what the manager itself proposed."""
        return self.council.decide_alone(self.name, snapshot, opinion, book, journal)


def stages_of(spec: CouncilSpec) -> tuple[Stage, ...]:
    """The asking stages that are switched on, in order. The chairman's always runs: without a chairman, by vote."""
    stages: list[Stage] = [ResearchStage()] if spec.stages.research.enabled else []
    stages.append(PitchStage())
    if spec.stages.review.enabled:
        stages.append(ReviewStage())
    return (*stages, ChairmanStage())


def _assign_seats(definition: Definition, seats: Mapping[str, Seat]) -> dict[str, Seat]:
    seated = {}
    for seat in definition.spec.seats:
        try:
            seated[seat] = seat_of(seats, seat)
        except ConfigError as error:
            error.where, error.mend = definition.line_of(seat), "name one in config/models.yaml, or give the seat * one"
            raise
    return seated
