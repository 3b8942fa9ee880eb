"""What each member of a council would have earned alone, from the opinions already given: no further question asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from simulator.replay import kernel
from simulator.replay.ledger import Ledger
from simulator.replay.run import Replayed, Scene
from simulator.replay.tape import Tape
from simulator.trading import risk
from simulator.trading.cycle import Terms
from simulator.trading.nouns import Book, Decision, Strategy


@dataclass(frozen=True)
class Member:
    """One member's own account: its seat, the model that answered for it, its books, how often it wanted a position."""

    name: str
    model: str
    ledger: Ledger
    decisions: int


def member_accounts(strategy: Strategy, scene: Scene, replayed: Replayed, terms: Terms, cash: float) -> list[Member]:
    """An account per member, traded by its own pitches under the run's limits and costs; none where there are none."""
    names = getattr(strategy, "members", ())
    return [_account(name, strategy.member(name), scene, replayed, terms, cash) for name in names]  # type: ignore[attr-defined]


def _account(name: str, member: Strategy, scene: Scene, replayed: Replayed, terms: Terms, cash: float) -> Member:
    decisions = asyncio.run(_decisions(member, scene, replayed, Book(cash, {}, {}, cash)))
    allowed = [risk.limit(d, Book(cash, {}, {}, cash), terms.limits)[0] for d in decisions]
    tape = Tape.from_decisions(allowed, scene.bars.symbols)
    ledger = kernel.replay_tape(scene.traded, tape, terms.rules, cash, scene.opening_marks)
    wanting = sum(any(t.weight for t in d.targets) for d in decisions)
    return Member(name, getattr(member, "model", ""), ledger, wanting)


async def _decisions(member: Strategy, scene: Scene, replayed: Replayed, book: Book) -> list[Decision]:
    """Members are judged on their pitches alone, so they decide on an empty book."""
    return [
        await member.decide(scene.snapshots[k], opinion, book, ()) for k, opinion in sorted(replayed.opinions.items())
    ]
