"""Every account of a council, from one set of answers: the council's own, and one per manager that trades its pitches.

opinions of the council ──play──► COUNCIL, CHATGPT, GEMINI …     each with its own books, both engines, no question
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.config import Accounts
from simulator.council.records import meeting_record
from simulator.replay.prefetch import silent
from simulator.replay.run import Recorded, Replayed, play
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import Committee, Strategy

COUNCIL = "COUNCIL"
"""The council's account where no account of accounts.yaml has its chairman's role."""


@dataclass(frozen=True, eq=False)
class Account:
    """One paper account: the seat whose word it trades, the model that answered there, what came of it."""

    name: str
    seat: str
    model: str
    replayed: Replayed

    @property
    def folder(self) -> str:
        """Folder of its evidence within the run's folder."""
        return f"accounts/{self.name}"


def replay_accounts(
    strategy: Strategy[Any],
    replayed: Replayed,
    rules: TradingRules,
    config: Accounts,
    cash: Mapping[str, float] | None = None,
    books: Mapping[str, Mapping[datetime, Recorded]] | None = None,
) -> tuple[Account, ...]:
    """Return the accounts of a committee in the order of accounts.yaml, its own among them; none for other strategies.

    `replayed` is the committee's own account. The others are played from its opinions under the same rules, with
    the same cash, or what `cash` has under its name, and decide on what `books` has there. A seat that no account has
    as its role gives its own name to its account.
    """
    if not isinstance(strategy, Committee):
        return ()
    names = {account.role: name for name, account in config.accounts.items()}
    begins = {seat: (cash or {}).get(names.get(seat, seat), config.cash) for seat in strategy.members}
    given = {seat: (books or {}).get(names.get(seat, seat)) for seat in strategy.members}
    inputs, opinions = replayed.inputs, replayed.opinions
    with asyncio.Runner() as loop:
        played = {
            seat: play(strategy.member(seat), inputs, rules, begins[seat], opinions, silent, loop, given[seat])
            for seat in strategy.members
        }
    made = [Account(names.get(seat, seat), seat, strategy.seats[seat].model, done) for seat, done in played.items()]
    chair = strategy.chairman
    model = strategy.seats[chair].model if chair in strategy.seats else "vote"
    made.append(Account(names.get(chair, COUNCIL), chair, model, replayed))
    order = tuple(config.accounts)
    return tuple(sorted(made, key=lambda one: order.index(one.name) if one.name in order else len(order)))


def council_account(accounts: Sequence[Account]) -> Account | None:
    """Return the account whose decisions are meetings of the council; None where there is none."""
    return next((a for a in accounts if any(meeting_record(t.decision.record) for t in a.replayed.results)), None)


def own_account(accounts: Sequence[Account], replayed: Replayed) -> str | None:
    """Name of the account whose books `replayed` is, the one the run itself reports; None without accounts."""
    return next((account.name for account in accounts if account.replayed is replayed), None)
