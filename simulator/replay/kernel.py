"""The kernel: the fill rules of docs/decisions/0001-fill-rules.md compiled, state in, state out.

It does the reference engine's arithmetic in the reference engine's order and shares only sizing with it, so that each
audits the other. Per bar it touches the symbols that are held or have an order pending, and no others: skipping a
symbol with nothing held leaves every sum the same to the last bit, because adding 0.0 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast
from zlib import crc32

import numba
import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats
from simulator.replay import ledger
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape, due_at, years
from simulator.trading import sizing
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.sizing import DOLLARS, NO_ORDER, NO_PRICE, compiled, size

F = TypeVar("F", bound=Callable[..., object])
Ints = NDArray[np.int64]

TOLERANCE = 1 + 1e-12
CASH, EQUITY, KEPT_SHARE = 0, 1, 2
ACTIVE, PENDING, CALL, ORDERS, FILLS, REFUSALS = range(6)


class Market(NamedTuple):
    """(T, N) prices and dividends, (T,) part of a year each bar accrues, and whether there is any dividend."""

    opens_at: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    dividend: Floats
    year: Floats
    pays: bool


class Wishes(NamedTuple):
    """Targets one after the other: those of decision k are rows ``first[k]`` to ``first[k + 1]``, in symbol order."""

    due: Ints
    at: Ints
    first: Ints
    symbol: Ints
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats


class Rules(NamedTuple):
    """The numbers of ExecutionRules, basis points turned into fractions."""

    commission_per_share: float
    commission_rate: float
    commission_min: float
    slippage_rate: float
    borrow_rate: float
    cash_interest: float
    initial_long: float
    initial_short: float
    maintenance_long: float
    maintenance_short: float
    whole_shares: bool
    min_trade: float


class State(NamedTuple):
    """Everything that changes. `active` holds, in symbol order, the symbols with a position or a pending order.

    `seen` is the bar a symbol's mark is up to date with while it is not active.
    """

    money: Floats
    count: Ints
    active: Ints
    held: Floats
    mark: Floats
    stop: Floats
    take: Floats
    pending: Ints
    last_order: Ints
    seen: Ints
    orders: NDArray[np.void]
    fills: NDArray[np.void]
    refusals: NDArray[np.void]
    auction: Floats


class Curves(NamedTuple):
    """What is written at every close; `positions` has no rows when only the curve is wanted."""

    equity: Floats
    cash: Floats
    positions: Floats


def inner(function: F) -> F:
    """A function compiled into the one cached entry, not on its own: a cached part would outlive a change elsewhere."""
    return cast(F, numba.njit(function))


# Arithmetic.


@inner
def _tradable(m: Market, t: int, n: int) -> bool:
    return m.open[t, n] > 0.0 and m.high[t, n] > 0.0 and m.low[t, n] > 0.0 and m.close[t, n] > 0.0


@inner
def _margin(r: Rules, shares: float) -> float:
    return r.initial_long if shares > 0.0 else r.initial_short


@inner
def _commission(r: Rules, shares: float, price: float) -> float:
    if shares == 0.0:
        return 0.0
    size_part = abs(shares) * r.commission_per_share
    value_part = abs(shares) * price * r.commission_rate
    return max(r.commission_min, size_part + value_part)


@inner
def _open_slippage(r: Rules, shares: float, price: float, limit: float) -> float:
    paid = abs(shares) * price * r.slippage_rate
    if np.isnan(limit):
        return paid
    return min(paid, abs(shares) * abs(limit - price))


@inner
def _free_margin(r: Rules, s: State) -> float:
    worth = s.money[CASH]
    bound = 0.0
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        q = s.held[n]
        if q != 0.0:
            worth += q * s.mark[n]
            bound += _margin(r, q) * abs(q) * s.mark[n]
    return worth - bound


@inner
def _reducing(held: float, shares: float) -> float:
    if held == 0.0 or (held > 0.0) == (shares > 0.0):
        return 0.0
    return shares if abs(shares) <= abs(held) else -held


@inner
def _kept_after_cut(r: Rules, left: float, price: float) -> float:
    if r.whole_shares:
        left = np.trunc(left)
    if abs(left) * price < r.min_trade:
        return 0.0
    return left


# Bookkeeping.


@inner
def _fill(
    m: Market, r: Rules, s: State, t: int, n: int, order: int, trade: tuple[float, float, float], why: int
) -> None:
    """Book `trade` = (shares, price, slippage); `order` is -1 for exits and margin calls."""
    shares, price, slippage = trade
    commission = _commission(r, shares, price)
    s.money[CASH] -= shares * price
    s.money[CASH] -= slippage
    s.money[CASH] -= commission
    s.held[n] += shares
    if order >= 0:
        s.last_order[n] = order
    if s.held[n] == 0.0:
        s.stop[n] = np.nan
        s.take[n] = np.nan
    elif order >= 0 and (s.held[n] > 0.0) == (shares > 0.0):
        s.stop[n] = s.orders[order].stop
        s.take[n] = s.orders[order].take_profit
    i = s.count[FILLS]
    s.count[FILLS] = i + 1
    if i < len(s.fills):
        row = s.fills[i]
        row.order_id = s.last_order[n]
        row.symbol = n
        row.at = m.opens_at[t]
        row.quantity = shares
        row.price = price
        row.slippage = slippage
        row.commission = commission
        row.why = why


@inner
def _refuse(s: State, order: int, n: int, at: int, wanted: float, got: float, why: int) -> None:
    row = s.refusals[s.count[REFUSALS]]
    s.count[REFUSALS] += 1
    row.order_id = order
    row.symbol = n
    row.at = at
    row.wanted = wanted
    row.got = got
    row.why = why


@inner
def _cancel(s: State, n: int) -> None:
    if s.pending[n] >= 0:
        s.orders[s.pending[n]].status = ledger.CANCELLED
        s.pending[n] = -1
        s.count[PENDING] -= 1


@inner
def _done(m: Market, s: State, t: int, n: int, wanted: float, got: float, why: int) -> None:
    order = s.pending[n]
    s.pending[n] = -1
    s.count[PENDING] -= 1
    if got == wanted:
        s.orders[order].status = ledger.FILLED
        return
    s.orders[order].status = ledger.REJECTED if got == 0.0 else ledger.PARTLY_FILLED
    _refuse(s, order, n, m.opens_at[t], wanted, got, why)


@inner
def _activate(s: State, n: int) -> None:
    count = s.count[ACTIVE]
    i = count
    while i > 0 and s.active[i - 1] > n:
        i -= 1
    if i > 0 and s.active[i - 1] == n:
        return
    for j in range(count, i, -1):
        s.active[j] = s.active[j - 1]
    s.active[i] = n
    s.count[ACTIVE] = count + 1


# A. Decisions.


@inner
def _newest_mark(m: Market, s: State, t: int, n: int) -> float:
    """The mark as of the close before bar t, brought up to date when the symbol was not active meanwhile."""
    if s.held[n] == 0.0 and s.pending[n] < 0:
        for before in range(t - 1, s.seen[n], -1):
            if _tradable(m, before, n):
                s.mark[n] = m.close[before, n]
                break
        s.seen[n] = max(s.seen[n], t - 1)
    return s.mark[n]


@inner
def _decide(m: Market, w: Wishes, r: Rules, s: State, t: int, k: int) -> None:
    first_order = s.count[ORDERS]
    for i in range(w.first[k], w.first[k + 1]):
        n = w.symbol[i]
        mark = _newest_mark(m, s, t, n)
        _cancel(s, n)
        limited = not np.isnan(w.limit[i])
        verdict, amount, keeps_side = size(
            w.weight[i], limited, s.held[n], mark, s.money[EQUITY], r.whole_shares, r.min_trade
        )
        if keeps_side:
            s.stop[n] = w.stop[i]
            s.take[n] = w.take_profit[i]
        if verdict == NO_PRICE:
            _refuse(s, -1, n, w.at[k], 0.0, 0.0, ledger.NO_PRICE_REASON)
        elif verdict != NO_ORDER:
            row = s.orders[s.count[ORDERS]]
            row.symbol = n
            row.submitted_at = w.at[k]
            row.quantity = np.nan if verdict == DOLLARS else amount
            row.notional = amount if verdict == DOLLARS else np.nan
            row.limit = w.limit[i]
            row.stop = w.stop[i]
            row.take_profit = w.take_profit[i]
            row.status = ledger.OPEN
            if s.count[CALL] == 0:
                s.pending[n] = s.count[ORDERS]
                s.count[PENDING] += 1
                _activate(s, n)
            s.count[ORDERS] += 1
    if s.count[CALL] > 0:
        _refuse_all(s, first_order, w.at[k])


@inner
def _refuse_all(s: State, first_order: int, at: int) -> None:
    for order in range(first_order, s.count[ORDERS]):
        row = s.orders[order]
        row.status = ledger.REJECTED
        n = row.symbol
        wanted = row.notional / s.mark[n] if np.isnan(row.quantity) else row.quantity
        _refuse(s, order, n, at, wanted, 0.0, ledger.IN_MARGIN_CALL)


# B. Accruals.


@inner
def _accrue(m: Market, r: Rules, s: State, t: int) -> None:
    year = m.year[t]
    s.money[CASH] += max(s.money[CASH], 0.0) * r.cash_interest * year
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        if s.held[n] < 0.0:
            s.money[CASH] -= abs(s.held[n]) * s.mark[n] * r.borrow_rate * year


@inner
def _dividends(m: Market, s: State, t: int) -> None:
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        paid = m.dividend[t, n]
        if s.held[n] != 0.0 and not np.isnan(paid) and _tradable(m, t, n):
            s.money[CASH] += s.held[n] * paid


# C. Open auction.


@inner
def _sell_down(m: Market, r: Rules, s: State, t: int) -> None:
    """The margin call: every position that trades is cut to the share of it that equity carries."""
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        q = s.held[n]
        if q == 0.0 or not _tradable(m, t, n):
            continue
        kept = q * s.money[KEPT_SHARE]
        if r.whole_shares:
            kept = np.trunc(kept)
        change = kept - q
        if change != 0.0:
            price = m.open[t, n]
            paid = abs(change) * price * r.slippage_rate
            _fill(m, r, s, t, n, -1, (change, price, paid), ledger.MARGIN_CALL)


@inner
def _open_auction(m: Market, r: Rules, s: State, t: int) -> None:
    """Reducing parts first, then the increasing parts together. Row i of `auction` belongs to the i-th active symbol:

    shares, reducing part, increasing part, what the increasing part gets; shares are 0 for symbols without a part in it.
    """
    increasing = False
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        s.auction[i, 0] = 0.0
        order = s.pending[n]
        if order < 0 or not _tradable(m, t, n):
            continue
        price = m.open[t, n]
        limit = s.orders[order].limit
        shares = s.orders[order].quantity
        if np.isnan(shares):
            shares = s.orders[order].notional / (price * (1.0 + r.slippage_rate))
        if (shares > 0.0 and price > limit) or (shares < 0.0 and price < limit):
            continue
        part = _reducing(s.held[n], shares)
        s.auction[i, 0] = shares
        s.auction[i, 1] = part
        s.auction[i, 2] = shares - part
        s.auction[i, 3] = shares - part
        increasing = increasing or shares != part
        if part != 0.0:
            _fill(m, r, s, t, n, order, (part, price, _open_slippage(r, part, price, limit)), ledger.AT_OPEN)
    why = _share_out(m, r, s, t) if increasing else ledger.BUYING_POWER
    for i in range(s.count[ACTIVE]):
        shares = s.auction[i, 0]
        if shares == 0.0:
            continue
        n = s.active[i]
        got = s.auction[i, 3]
        if got != 0.0:
            price = m.open[t, n]
            slippage = _open_slippage(r, got, price, s.orders[s.pending[n]].limit)
            _fill(m, r, s, t, n, s.pending[n], (got, price, slippage), ledger.AT_OPEN)
        all_got = shares if got == s.auction[i, 2] else s.auction[i, 1] + got
        _done(m, s, t, n, shares, all_got, why)


@inner
def _auction_need(m: Market, r: Rules, s: State, t: int, i: int) -> tuple[float, float]:
    """Margin with slippage, and commission, of what the i-th active symbol is about to get."""
    n = s.active[i]
    shares, price = s.auction[i, 3], m.open[t, n]
    slippage = _open_slippage(r, shares, price, s.orders[s.pending[n]].limit)
    return _margin(r, shares) * abs(shares) * price + slippage, _commission(r, shares, price)


@inner
def _share_out(m: Market, r: Rules, s: State, t: int) -> int:
    """Cut the increasing parts to the free margin; returns the reason cuts are logged with."""
    free = _free_margin(r, s)
    total = gross_all = commission_all = 0.0
    for i in range(s.count[ACTIVE]):
        if s.auction[i, 0] == 0.0 or s.auction[i, 3] == 0.0:
            continue
        gross, commission = _auction_need(m, r, s, t, i)
        if gross + commission > free * TOLERANCE:
            s.auction[i, 3] *= max(0.0, free - commission) / gross
            gross, commission = _auction_need(m, r, s, t, i)
        total += gross + commission
        gross_all += gross
        commission_all += commission
    together = total > free * TOLERANCE and gross_all > 0.0
    scale = max(0.0, free - commission_all) / gross_all if together else 1.0
    for i in range(s.count[ACTIVE]):
        if s.auction[i, 0] == 0.0:
            continue
        if together:
            s.auction[i, 3] *= scale
        if s.auction[i, 3] != s.auction[i, 2]:
            s.auction[i, 3] = _kept_after_cut(r, s.auction[i, 3], m.open[t, s.active[i]])
    return ledger.PRO_RATA if together else ledger.BUYING_POWER


# D. Protection.


@inner
def _protect(m: Market, r: Rules, s: State, t: int) -> None:
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        q, stop, take = s.held[n], s.stop[n], s.take[n]
        if q == 0.0 or (np.isnan(stop) and np.isnan(take)) or not _tradable(m, t, n):
            continue
        side = 1.0 if q > 0.0 else -1.0
        opened = m.open[t, n]
        worst, best = (m.low[t, n], m.high[t, n]) if q > 0.0 else (m.high[t, n], m.low[t, n])
        if side * opened <= side * stop:
            price, why = opened, ledger.STOP
        elif side * opened >= side * take:
            price, why = opened, ledger.TAKE_PROFIT
        elif side * worst <= side * stop:
            price, why = stop, ledger.STOP
        elif side * best >= side * take:
            price, why = take, ledger.TAKE_PROFIT
        else:
            continue
        slippage = abs(q) * price * r.slippage_rate
        if why == ledger.TAKE_PROFIT:
            slippage = min(slippage, abs(q) * abs(price - take))
        _fill(m, r, s, t, n, -1, (-q, price, slippage), why)
        _cancel(s, n)


# E. Limit orders within the bar.


@inner
def _reached(m: Market, s: State, t: int, n: int) -> bool:
    """Whether the pending order of symbol n is a limit order whose price the bar touches."""
    order = s.pending[n]
    if order < 0 or np.isnan(s.orders[order].limit) or not _tradable(m, t, n):
        return False
    if s.orders[order].quantity > 0.0:
        return bool(m.low[t, n] <= s.orders[order].limit)
    return bool(m.high[t, n] >= s.orders[order].limit)


@inner
def _affordable(r: Rules, shares: float, price: float, free: float) -> float:
    gross = _margin(r, shares) * abs(shares) * price
    commission = _commission(r, shares, price)
    if gross + commission <= free * TOLERANCE:
        return shares
    left = shares * (max(0.0, free - commission) / gross)
    return _kept_after_cut(r, left, price) if left != shares else shares


@inner
def _limits_within(m: Market, r: Rules, s: State, t: int, free: float) -> None:
    """Orders that only add, against `free` and what it has left; then those that reduce or cross."""
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        s.auction[i, 0] = 0.0
        if not _reached(m, s, t, n):
            continue
        order = s.pending[n]
        shares, price = s.orders[order].quantity, s.orders[order].limit
        if _reducing(s.held[n], shares) != 0.0:
            s.auction[i, 0] = shares
            continue
        got = _affordable(r, shares, price, free)
        if got != 0.0:
            _fill(m, r, s, t, n, order, (got, price, 0.0), ledger.AT_LIMIT)
            free -= _margin(r, got) * abs(got) * price + _commission(r, got, price)
        _done(m, s, t, n, shares, got, ledger.BUYING_POWER)
    for i in range(s.count[ACTIVE]):
        shares = s.auction[i, 0]
        if shares == 0.0:
            continue
        n = s.active[i]
        order = s.pending[n]
        price = s.orders[order].limit
        part = _reducing(s.held[n], shares)
        _fill(m, r, s, t, n, order, (part, price, 0.0), ledger.AT_LIMIT)
        rest = shares - part
        got = _affordable(r, rest, price, _free_margin(r, s)) if rest != 0.0 else 0.0
        if got != 0.0:
            _fill(m, r, s, t, n, order, (got, price, 0.0), ledger.AT_LIMIT)
        _done(m, s, t, n, shares, shares if got == rest else part + got, ledger.BUYING_POWER)


# F. Close, and the loop over bars.


@inner
def _call_margin(r: Rules, s: State) -> None:
    initial = 0.0
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        if s.held[n] != 0.0:
            initial += _margin(r, s.held[n]) * abs(s.held[n]) * s.mark[n]
        _cancel(s, n)
    s.money[KEPT_SHARE] = min(1.0, max(0.0, s.money[EQUITY] / initial))
    s.count[CALL] = 1


@inner
def _close(m: Market, r: Rules, s: State, t: int) -> None:
    worth = s.money[CASH]
    maintenance = 0.0
    kept = 0
    holding = False
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        if _tradable(m, t, n):
            s.mark[n] = m.close[t, n]
        q = s.held[n]
        if q != 0.0:
            holding = True
            worth += q * s.mark[n]
            maintenance += (r.maintenance_long if q > 0.0 else r.maintenance_short) * abs(q) * s.mark[n]
        elif s.pending[n] < 0:
            s.seen[n] = t
            continue
        s.active[kept] = n
        kept += 1
    s.count[ACTIVE] = kept
    s.money[EQUITY] = worth
    if holding and worth < maintenance:
        _call_margin(r, s)


@inner
def _trade(m: Market, r: Rules, s: State, t: int) -> None:
    """C to E of a bar on which something is pending or a margin call stands."""
    for i in range(s.count[ACTIVE]):
        n = s.active[i]
        if _tradable(m, t, n):
            s.mark[n] = m.open[t, n]
    if s.count[CALL] > 0:
        s.count[CALL] = 0
        _sell_down(m, r, s, t)
    else:
        _open_auction(m, r, s, t)
    waiting = s.count[PENDING] > 0
    free = _free_margin(r, s) if waiting else 0.0
    _protect(m, r, s, t)
    if waiting and s.count[PENDING] > 0:
        _limits_within(m, r, s, t, min(free, _free_margin(r, s)))


@inner
def _play(m: Market, w: Wishes, r: Rules, s: State, c: Curves) -> None:
    k = 0
    accrues = r.cash_interest > 0.0 or r.borrow_rate > 0.0
    keeps_positions = len(c.positions) > 0
    for t in range(len(m.open)):
        while k < len(w.due) and w.due[k] <= t:
            _decide(m, w, r, s, t, k)
            k += 1
        if accrues and m.year[t] > 0.0:
            _accrue(m, r, s, t)
        if m.pays:
            _dividends(m, s, t)
        if s.count[PENDING] > 0 or s.count[CALL] > 0:
            _trade(m, r, s, t)
        else:
            _protect(m, r, s, t)
        _close(m, r, s, t)
        c.equity[t] = s.money[EQUITY]
        c.cash[t] = s.money[CASH]
        if keeps_positions:
            for i in range(s.count[ACTIVE]):
                c.positions[t, s.active[i]] = s.held[s.active[i]]


def _entry(sources: int) -> Callable[[Market, Wishes, Rules, State, Curves], None]:
    """The one compiled and cached function. `sources` stands in its closure because numba's cache knows only this file:

    without it, a kernel kept from before a change in sizing would go on using the old sizes.
    """

    @compiled
    def play(m: Market, w: Wishes, r: Rules, s: State, c: Curves) -> None:
        if sources >= 0:
            _play(m, w, r, s, c)

    return play


play = _entry(crc32(b"".join(Path(str(room.__file__)).read_bytes() for room in (sizing, ledger))))


# The Python face.


def replay_tape(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None = None
) -> Ledger:
    """Play the recorded decisions of `tape`, whose symbols must be those of `bars`.

    Same arguments, timing and result as :func:`simulator.replay.reference.replay_tape`.
    """
    curves, state, marks = _run(bars, tape, rules, cash, opening_marks, whole=True)
    count = state.count
    return Ledger(
        bars=bars,
        equity=curves.equity,
        cash=curves.cash,
        positions=curves.positions,
        order_rows=state.orders[: count[ORDERS]],
        fill_rows=state.fills[: count[FILLS]],
        rejection_rows=state.refusals[: count[REFUSALS]],
        opening_marks=marks,
    )


def equity_curve(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None = None
) -> Floats:
    """(T,) dollars at each close: :func:`replay_tape` without the books, for sweeps."""
    return _run(bars, tape, rules, cash, opening_marks, whole=False)[0].equity


def equity_curves(
    bars: Bars,
    runs: Iterable[tuple[Tape, ExecutionRules]],
    cash: float,
    opening_marks: Floats | None = None,
) -> Floats:
    """(R, T) one equity curve for each (tape, rules) of `runs`."""
    curves = [equity_curve(bars, tape, rules, cash, opening_marks) for tape, rules in runs]
    return np.array(curves).reshape(len(curves), len(bars))


def _run(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None, whole: bool
) -> tuple[Curves, State, Floats]:
    shape = len(bars), len(bars.symbols)
    market = _market(bars)
    wishes = _wishes(bars, tape.aligned(bars.symbols))
    marks = np.zeros(shape[1]) if opening_marks is None else np.nan_to_num(opening_marks.astype(np.float64))
    room = 3 * len(wishes.symbol) if whole else 0
    while True:
        state = _start(shape[1], len(wishes.symbol), room, cash, marks)
        curves = Curves(np.empty(shape[0]), np.empty(shape[0]), np.zeros(shape if whole else (0, shape[1])))
        play(market, wishes, _rules(rules), state, curves)
        if not whole or state.count[FILLS] <= room:
            return curves, state, marks
        room = int(state.count[FILLS])  # margin calls can make more fills than orders: once more, with room for all


def _market(bars: Bars) -> Market:
    year = years(bars, SESSIONS_A_YEAR)
    pays = bool(bars.dividend.any())
    return Market(bars.opens_at, bars.open, bars.high, bars.low, bars.close, bars.dividend, year, pays)


def _wishes(bars: Bars, tape: Tape) -> Wishes:
    rows, columns = np.nonzero(~np.isnan(tape.weight))
    return Wishes(
        due=due_at(bars, tape.instants).astype(np.int64),
        at=tape.instants,
        first=np.searchsorted(rows, np.arange(len(tape) + 1)).astype(np.int64),
        symbol=columns.astype(np.int64),
        weight=tape.weight[rows, columns],
        limit=tape.limit[rows, columns],
        stop=tape.stop[rows, columns],
        take_profit=tape.take_profit[rows, columns],
    )


def _rules(rules: ExecutionRules) -> Rules:
    return Rules(
        commission_per_share=float(rules.commission_per_share),
        commission_rate=rules.commission_bps / 1e4,
        commission_min=float(rules.commission_min),
        slippage_rate=rules.slippage_bps / 1e4,
        borrow_rate=float(rules.borrow_rate),
        cash_interest=float(rules.cash_interest),
        initial_long=float(rules.initial_margin_long),
        initial_short=float(rules.initial_margin_short),
        maintenance_long=float(rules.maintenance_long),
        maintenance_short=float(rules.maintenance_short),
        whole_shares=bool(rules.whole_shares),
        min_trade=float(rules.min_trade),
    )


def _start(symbols: int, targets: int, room: int, cash: float, marks: Floats) -> State:
    return State(
        money=np.array([cash, cash, 0.0]),
        count=np.zeros(6, dtype=np.int64),
        active=np.zeros(symbols, dtype=np.int64),
        held=np.zeros(symbols),
        mark=marks.copy(),
        stop=np.full(symbols, np.nan),
        take=np.full(symbols, np.nan),
        pending=np.full(symbols, -1, dtype=np.int64),
        last_order=np.full(symbols, -1, dtype=np.int64),
        seen=np.full(symbols, -1, dtype=np.int64),
        orders=np.zeros(targets, dtype=ledger.ORDER_COLUMNS),
        fills=np.zeros(room, dtype=ledger.FILL_COLUMNS),
        refusals=np.zeros(2 * targets, dtype=ledger.REJECTION_COLUMNS),
        auction=np.zeros((symbols, 4)),
    )
