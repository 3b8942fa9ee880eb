"""Plays of the kernel: one tape with its books, or many parameter sets over the same bars.

tapes ──────────────► Targets ──────┐
bars ──► PreparedMarket ────────────┼──► play: members first to last ──► equity (R, T); with books: Ledgers
rules, cash, limits ──► Member × R ─┘    (compiled, no lock held: chunks run in threads)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, TypeVar, cast

import numpy as np

from simulator import numerics
from simulator.errors import UsageError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay.kernel.market import PreparedMarket, Targets, exits_of, read_only, targets_of
from simulator.replay.kernel.play import play
from simulator.replay.kernel.state import MEMBER, Curves, Room
from simulator.replay.ledger import Ledger
from simulator.replay.tape import PRICES, Tape
from simulator.trading.conditional import LEAVE
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, Position
from simulator.trading.model import Order
from simulator.trading.parts import ALL, Parts
from simulator.trading.risk import Limits
from simulator.trading.sizing import on_tick

T = TypeVar("T")

CHUNKS_A_THREAD = 4
"""Members differ in work: a few chunks more than threads keep the last thread from playing alone."""

AT_ONCE = 2**21
"""Weights worked out before they are played: 16 MB a thread."""

Weigh = Callable[[int], Floats]
"""Called with the number of a member; returns its weights (K, N), NaN where a symbol is left alone."""

WeighMany = Callable[[int, int], Floats]
"""Called with numbers of members, first to before last; returns their weights (R, K, N)."""


@dataclass(frozen=True, eq=False)
class Results:
    """Measures of R members, each (R,), as `simulator.stats.metrics` defines them up to rounding.

    Attributes
    ----------
    total_return, max_drawdown : fractions, the latter 0 or negative
    sharpe : a year's, in excess of the cash instrument; NaN where nothing was traded or returns do not vary
    exposure : mean gross weight at the sessions' closes
    turnover : a year's, half of what was bought and sold over equity
    costs : dollars of commission and slippage
    volatility : a year's, of returns; NaN for one session
    fills : number of them
    decisions : sessions on which a target changed by a hundredth of equity, or a bracket closed a position
    held : 1 where anything but the cash instrument was held, else 0
    level : reward of a change of level, per session (`simulator.stats.skill.level_reward`); NaN where not asked for
    equity : (R, T) dollars at each close, where asked for
    excess, beyond : (R, S) by session, where asked for: e, returns less the risk-free return, and d = e − b, what of it
        lies beyond the member's own usual exposure (`simulator.runs.exposure.skill_series`)
    """

    total_return: Floats
    sharpe: Floats
    max_drawdown: Floats
    exposure: Floats
    turnover: Floats
    costs: Floats
    volatility: Floats
    fills: Floats
    decisions: Floats
    held: Floats
    level: Floats
    equity: Floats | None = None
    excess: Floats | None = None
    beyond: Floats | None = None


MEASURES = tuple(each.name for each in fields(Results) if each.default is MISSING)


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
    """R parameter sets over one market, as compiled code takes them: `members` (R,) records, `groupings` (G, N).

    With `weigh_many` each member has decisions of its own at the instants of `targets`, worked out when it is played.
    `exits` (K, N, P, 2) are those of the tapes, as they were decided.
    """

    market: PreparedMarket
    targets: Targets
    members: Any
    groupings: Instants
    weigh_many: WeighMany | None = None
    exits: Floats | None = None

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
        distinct = {id(each): each for each in listed["rules"]}
        place = {key: n for n, key in enumerate(distinct)}
        same = np.array([place[id(each)] for each in listed["rules"]], dtype=np.int64)
        for rule in fields(ExecutionRules):
            members[rule.name] = np.array([float(getattr(each, rule.name)) for each in distinct.values()])[same]
        members["cash"] = np.array(listed["cash"], dtype=np.float64)
        ends = np.cumsum([0, *(len(tape) for tape in unique)])
        number = {tape: n for n, tape in enumerate(unique)}
        which = np.array([number[tape] for tape in listed["tapes"]], dtype=np.int64)
        members["first"], members["end"] = ends[which], ends[which + 1]
        groupings = _limit_members(members, listed["limits"], market.bars.symbols)
        exits = exits_of(unique)
        return cls(market, targets_of(market.bars, unique, exits), members, groupings, exits=exits)

    @classmethod
    def weighed(
        cls,
        market: PreparedMarket,
        instants: Instants,
        weigh: Weigh | None,
        rules: ExecutionRules | Sequence[ExecutionRules],
        cash: float | Sequence[float] | Floats,
        limits: Limits | Sequence[Limits | None] | None = None,
        weigh_many: WeighMany | None = None,
    ) -> Batch:
        """Return the batch whose member r decides at `instants` (K,) for the weights ``weigh(r)``, such as
        :meth:`simulator.rules.Rule.weights_for` gives, or those of many members at once that `weigh_many` gives. R is
        the number of `rules`, `cash` or `limits`."""
        one = weigh

        def each(first: int, last: int) -> Floats:
            return np.array([one(r) for r in range(first, last)]) if one is not None else np.empty(0)

        none = np.full((len(instants), len(market.bars.symbols)), np.nan)
        batch = cls.of(market, Tape(instants, market.bars.symbols, none, none, none, none), rules, cash, limits)
        return replace(batch, weigh_many=weigh_many or each)

    def part(self, first: int, last: int) -> Batch:
        """Return members `first` to before `last` as a batch, their weights worked out."""
        members = self.members[first:last]
        if self.weigh_many is None:
            return replace(self, members=members, targets=self.targets.unsettled())
        decisions, symbols = self.targets.weight.shape
        weight = read_only(np.ascontiguousarray(self.weigh_many(first, last)).reshape(-1, symbols))
        members = members.copy()
        members["first"] = members["shift"] = np.arange(len(members)) * decisions
        members["end"] = members["first"] + decisions
        targets = Targets.stated(self.targets.due, self.targets.at, weight, [self.targets.limit[:0]] * 3)
        return replace(self, members=members, targets=targets, weigh_many=None)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def most_targets(self) -> int:
        terms, weight = self.targets.terms, self.targets.weight
        asked = terms["kind"] != LEAVE if len(terms) else ~np.isnan(weight)
        before = np.concatenate([[0], np.cumsum(asked.sum(axis=1))])
        return int((before[self.members["end"]] - before[self.members["first"]]).max(initial=0))

    def play(self, room: Room, curves: Curves) -> None:
        returns = self.market.excess if len(curves.beyond) else self.market.no_excess
        play(self.market.arrays, returns, self.targets, self.members, self.groupings, room, curves)

    def tape(self, r: int) -> Tape:
        """Return the decisions of member `r`."""
        one = self.part(r, r + 1)
        if len(one.targets.terms):  # what they come to is known once they were carried out
            books = Curves.of_books(len(self.market.bars), len(self.market.bars.symbols))
            one.play(Room.of(len(self.market.bars.symbols), 0, 0, 0), books)
        first, end, shift = (int(one.members[0][name]) for name in ("first", "end", "shift"))
        targets, rows = one.targets, slice(first, end)
        none = np.full_like(targets.weight[rows], np.nan)
        prices = {name: cells[rows] if len(cells := getattr(targets, name)) else none for name in PRICES}
        exits = None if self.exits is None else self.exits[rows]
        if exits is not None:  # what closes the rest stands among the parts
            closed = np.nansum(exits[..., 0], axis=2) >= ALL
            prices["take_profit"] = np.where(closed, np.nan, prices["take_profit"])
        at = targets.at[first - shift : end - shift]
        return Tape(at, self.market.bars.symbols, targets.weight[rows], **prices, exits=exits)

    def ledger(self, r: int) -> Ledger:
        """Return the books of member `r`."""
        return self.ledger_and_state(r)[0]

    def ledger_and_state(self, r: int) -> tuple[Ledger, Room]:
        """Return the books of member `r` and the state after its last bar."""
        one = self.part(r, r + 1)
        bars, targets = self.market.bars, one.most_targets
        shape, fills = (len(bars), len(bars.symbols)), 3 * targets
        while True:
            curves = Curves.of_books(*shape)
            room = Room.of(shape[1], targets, fills, 2 * targets)
            one.play(room, curves)
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
        held, stop, take, up = float(p.held), float(p.stop), float(p.take_profit), p.held > 0.0
        if exits := _parts(batch.targets, rules, (p.row, n, p.part), up):
            take = _price(float(batch.targets.take_profit[p.row, n]), rules, up)
        pending: Order | None = None
        if p.pending >= 0:
            pending = books.order(int(p.pending))
            bought = (pending.quantity or pending.notional or 0.0) > 0.0
            pending = replace(pending, exits=_parts(batch.targets, rules, (p.order_row, n, 0), bought))
        positions[symbol] = Position(symbol, marks[n], held, stop, take, pending, int(p.last_order), exits)
    cash, equity, carried, kept = (
        float(x) for x in (account.cash, account.equity, account.carried, account.kept_share)
    )
    return Account(cash, equity, carried, positions, account.call > 0, kept), books


def _parts(targets: Targets, rules: ExecutionRules, where: tuple[int, int, int], up: bool) -> Parts:
    """Return the parts of a decision's target from one on, `where` = (decision, symbol, part)."""
    row, n, part = (int(one) for one in where)
    there = targets.exits[row, n, part:].tolist() if len(targets.exits) else []
    return tuple((share, _price(price, rules, up)) for share, price in there if share == share)


def _price(price: float, rules: ExecutionRules, up: bool) -> float:
    return on_tick(price, up) if rules.alpaca else price


def play_many(
    batch: Batch, threads: int = 1, paths: bool = False, beyond: bool = False, excess: bool = True
) -> Results:
    """Return the measures of each member, with `paths` its equity in dollars at each close, with `beyond` its excess
    returns by session (unless `excess` is false) and what of them lies beyond its usual exposure.

    Row r has the bytes that playing member r alone gives, whatever the number of threads.
    """
    symbols, count, bars = len(batch.market.bars.symbols), len(batch), len(batch.market.bars)
    equity, measures = np.empty((count if paths else 0, bars)), np.empty((count, len(MEASURES)))
    sessions = len(batch.market.free)
    earned = np.empty((count if beyond and excess else 0, sessions))
    over = numerics.room(count if beyond else 0, sessions)
    step = -(-count // (threads * CHUNKS_A_THREAD)) if threads > 1 else count
    if batch.weigh_many is not None:
        step = min(step, AT_ONCE // max(1, batch.targets.weight.size))
    step = max(1, step)

    def play_chunk(first: int) -> None:
        part = batch.part(first, min(first + step, count))
        row = equity[first : first + step] if paths else np.empty((1, bars))
        rows = slice(first, first + step)
        cash, gross, inverse = np.empty((3, bars))
        curves = Curves(row, cash, gross, inverse, np.empty((0, 0)), measures[rows], earned[rows], over[rows])
        part.play(Room.of(symbols, 0, 0, 0), curves)

    _run(play_chunk, range(0, count, step), threads)
    columns = dict(zip(MEASURES, measures.T.copy(), strict=True))
    asked = {"excess": beyond and excess, "beyond": beyond}
    series = {name: made for name, made in (("excess", earned), ("beyond", over)) if asked[name]}
    return Results(**columns, **series, equity=equity if paths else None)


def play_books(batch: Batch, threads: int = 1) -> list[Ledger]:
    """Return the books of each member."""
    return _run(batch.ledger, range(len(batch)), threads)


def _limit_members(members: Any, limits: Sequence[Limits | None], symbols: Sequence[str]) -> Instants:
    """Write the caps into `members`; return (G, N) codes: twice the number of the group that a symbol is of, and 1 more
    where its shares cannot be borrowed."""
    distinct = {(id(each.groups), each.unshortable): each for each in limits if each is not None}
    row = {key: n for n, key in enumerate(distinct)}
    for name in ("max_weight", "max_group", "max_gross"):
        members[name] = [0.0 if each is None else getattr(each, name) for each in limits]
    members["grouping"] = [-1 if each is None else row[id(each.groups), each.unshortable] for each in limits]
    codes = np.zeros((len(distinct), len(symbols)), dtype=np.int64)
    for n, each in enumerate(distinct.values()):
        groups = np.unique([each.groups.get(symbol, symbol) for symbol in symbols], return_inverse=True)[1]
        codes[n] = 2 * groups + [symbol in each.unshortable for symbol in symbols]
    return codes


def _run(function: Callable[[int], T], numbers: Iterable[int], threads: int) -> list[T]:
    if threads <= 1:
        return list(map(function, numbers))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, numbers))
