"""Plays of the kernel: one tape with its books, or many parameter sets over the same bars.

tapes ──────────────► Targets ──────┐
bars ──► PreparedMarket ────────────┼──► play: members first to last ──► equity (R, T); with books: Ledgers
rules, cash, limits ──► Member × R ─┘    (compiled, no lock held: chunks run in threads)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import numpy as np

from simulator.errors import UsageError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay.kernel.market import PreparedMarket, Targets, targets_of
from simulator.replay.kernel.play import play
from simulator.replay.kernel.state import MEMBER, Curves, Room
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, Position
from simulator.trading.risk import Limits

T = TypeVar("T")

CHUNKS_A_THREAD = 4
"""Members differ in work: a few chunks more than threads keep the last thread from playing alone."""


def replay_tape(
    bars: Bars,
    tape: Tape,
    rules: ExecutionRules,
    cash: float,
    opening_marks: Floats | None = None,
    limits: Limits | None = None,
) -> Ledger:
    """Play the recorded decisions of `tape`, whose symbols must be those of `bars`.

    Same arguments, timing, result and errors as :func:`simulator.replay.backtrader_engine.replay_tape`. With `limits`
    the weights are cut, as :func:`simulator.trading.risk.limit` cuts them, on the account's book at each decision.
    """
    return Batch.of(PreparedMarket.of(bars, opening_marks), tape, rules, cash, limits).ledger(0)


@dataclass(frozen=True, eq=False)
class Batch:
    """R parameter sets over one market, as compiled code takes them: `members` (R,) records, `groupings` (G, N)."""

    market: PreparedMarket
    targets: Targets
    members: Any
    groupings: Instants

    @classmethod
    def of(
        cls,
        market: PreparedMarket,
        tapes: Tape | Sequence[Tape],
        rules: ExecutionRules | Sequence[ExecutionRules],
        cash: float | Sequence[float] | Floats,
        limits: Limits | Sequence[Limits | None] | None = None,
    ) -> Batch:
        """Return the batch in which each of `tapes`, `rules`, `cash` and `limits` is one for all members or R of them.

        Raises UsageError where their numbers do not agree or a tape is for other symbols.
        """
        given: dict[str, Any] = {"tapes": tapes, "rules": rules, "cash": cash, "limits": limits}
        listed = {name: list(v) if isinstance(v, Sequence | np.ndarray) else [v] for name, v in given.items()}
        count = max(map(len, listed.values())) if all(listed.values()) else 0
        if any(len(values) not in (1, count) for values in listed.values()):
            sizes = ", ".join(f"{len(values)} {name}" for name, values in listed.items())
            raise UsageError(f"the parameter sets do not agree in number: {sizes}", mend="give one, or R, of each")
        unique = list(dict.fromkeys(listed["tapes"])) or [Tape.from_decisions([], market.bars.symbols)]
        members = np.zeros(count, dtype=MEMBER)
        for rule in fields(ExecutionRules):
            members[rule.name] = [getattr(rules, rule.name) for rules in listed["rules"]]
        members["cash"] = np.array(listed["cash"], dtype=np.float64)
        ends = np.cumsum([0, *(len(tape) for tape in unique)])
        number = {tape: n for n, tape in enumerate(unique)}
        which = np.array([number[tape] for tape in listed["tapes"]], dtype=np.int64)
        members["first"], members["end"] = ends[which], ends[which + 1]
        groupings = _limit_members(members, listed["limits"], market.bars.symbols)
        return cls(market, targets_of(market.bars, unique), members, groupings)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def most_targets(self) -> int:
        before = np.concatenate([[0], np.cumsum((~np.isnan(self.targets.weight)).sum(axis=1))])
        return int((before[self.members["end"]] - before[self.members["first"]]).max(initial=0))

    def play(self, room: Room, curves: Curves, first: int, last: int) -> None:
        play(self.market.arrays, self.targets, self.members, self.groupings, room, curves, first, last)

    def ledger(self, r: int) -> Ledger:
        """Return the books of member `r`."""
        return self.ledger_and_state(r)[0]

    def ledger_and_state(self, r: int) -> tuple[Ledger, Room]:
        """Return the books of member `r` and the state after its last bar."""
        one = Batch(self.market, self.targets, self.members[r : r + 1], self.groupings)
        bars, targets = self.market.bars, one.most_targets
        shape, fills = (len(bars), len(bars.symbols)), 3 * targets
        while True:
            curves = Curves(np.empty((1, shape[0])), np.empty(shape[0]), np.empty(shape))
            room = Room.of(shape[1], targets, fills, targets)
            one.play(room, curves, 0, 1)
            account: Any = room.account[0]
            if account.fills <= fills:
                break
            fills = int(account.fills)  # margin calls can make more fills than orders: again, with room for all
        tables = cast(Any, room)
        books = Ledger(
            bars=bars,
            equity=curves.equity[0],
            cash=curves.cash,
            positions=curves.positions,
            order_rows=tables.orders[: account.orders],
            fill_rows=tables.fills[: account.fills],
            rejection_rows=tables.refusals[: account.refusals],
            opening_marks=self.market.arrays.opening_marks,
        )
        return books, room


def enter(bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats) -> tuple[Account, Ledger]:
    """Return the account as it stands after the last of `bars`, ready to be played on, and its books so far."""
    batch = Batch.of(PreparedMarket.of(bars, opening_marks), tape, rules, cash)
    books, state = batch.ledger_and_state(0)
    marks, account = books.marks[-1].tolist(), state.account[0]
    positions = {}
    for n, symbol in enumerate(bars.symbols):
        p = state.positions[n]
        pending = None if p.pending < 0 else books.order(int(p.pending))
        held, stop, take = float(p.held), float(p.stop), float(p.take_profit)
        positions[symbol] = Position(symbol, marks[n], held, stop, take, pending, int(p.last_order))
    cash, equity, carried, kept = (
        float(x) for x in (account.cash, account.equity, account.carried, account.kept_share)
    )
    return Account(cash, equity, carried, positions, account.call > 0, kept), books


def play_many(batch: Batch, threads: int = 1) -> Floats:
    """Return (R, T) equity in dollars of each member at each close.

    Row r has the bytes that playing member r alone gives, whatever the number of threads.
    """
    symbols, count = len(batch.market.bars.symbols), len(batch)
    curves = Curves(np.empty((count, len(batch.market.bars))), np.empty(0), np.empty((0, 0)))
    step = -(-count // (threads * CHUNKS_A_THREAD)) if threads > 1 else count

    def play_chunk(first: int) -> None:
        batch.play(Room.of(symbols, 0, 0, 0), curves, first, min(first + step, count))

    _run(play_chunk, range(0, count, max(1, step)), threads)
    return curves.equity


def play_books(batch: Batch, threads: int = 1) -> list[Ledger]:
    """Return the books of each member."""
    return _run(batch.ledger, range(len(batch)), threads)


def _limit_members(members: Any, limits: Sequence[Limits | None], symbols: Sequence[str]) -> Instants:
    """Write the caps into `members`; return (G, N) codes: the groups that each distinct grouping makes."""
    distinct = {id(each.groups): each.groups for each in limits if each is not None}
    row = {key: n for n, key in enumerate(distinct)}
    for name in ("max_weight", "max_group", "max_gross"):
        members[name] = [0.0 if each is None else getattr(each, name) for each in limits]
    members["grouping"] = [-1 if each is None else row[id(each.groups)] for each in limits]
    codes = np.zeros((len(distinct), len(symbols)), dtype=np.int64)
    for n, groups in enumerate(distinct.values()):
        codes[n] = np.unique([groups.get(symbol, symbol) for symbol in symbols], return_inverse=True)[1]
    return codes


def _run(function: Callable[[int], T], numbers: Iterable[int], threads: int) -> list[T]:
    if threads <= 1:
        return list(map(function, numbers))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, numbers))
