"""Arithmetic of sizing, for plain Python and for the replay kernel, where it is compiled.

    execution: ideal     target ──size──► shares, or dollars to buy for
    execution: alpaca    target ──price_terms──► limit and exits on the tick; are the exits taken?
                                └─size_at_broker──► whole shares or nine decimals, dollars in cents, no short sale of
                                                    a small account

The rules are section A of docs/decisions/0001-fill-rules.md. Each function rests on roundings it is given, and products
and quotients are computed as written, so that both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

NO_ORDER, SHARES, DOLLARS, NO_PRICE = 0, 1, 2, 3
"""Verdicts on a target: nothing to do, an order in shares, an order in dollars, or no price to size by."""

CENT = 0.01
"""Dollars below which a change is rounding, and not named as left out."""

Rounding = Callable[[float], float]

NINE_DIGITS = 1e9
"""Fractions of a share that a broker counts."""

LEAST_DOLLARS, BORROWING_EQUITY = 1.0, 2_000.0
"""Of an order in dollars; and equity of an account that may sell short and borrow."""

APART = 0.01 - 1e-9
"""Dollars by which a stop must lie behind the price of entry, and a take-profit beyond the stop."""

NO_EXITS, EXITS, BAD_EXITS = 0, 1, 2
"""A target has no stop and no take-profit, has some, or has some that a broker refuses."""

Size = Callable[[float, bool, float, float, float, bool, float], tuple[int, float, bool]]


def make_size(truncate: Callable[[float], float]) -> Size:
    """Return the rule, resting on a function that cuts a number to whole ones: plain Python or compiled."""

    def size(
        weight: float, limited: bool, held: float, mark: float, equity: float, whole_shares: bool, least: float
    ) -> tuple[int, float, bool]:
        """Return the order that a target `weight` of one symbol leads to.

        Parameters
        ----------
        weight : signed fraction of `equity`
        limited : True for a limit order
        held, mark : signed shares held now, and the last known price (0 = none yet)
        equity, least : dollars, and those below which a change is not worth an order; leaving a position always is

        Returns
        -------
        verdict : NO_ORDER, SHARES, DOLLARS or NO_PRICE
        amount : signed shares, or dollars to buy for; with NO_ORDER the shares left out: worth less than `least`, or
            where only whole ones count a part of one
        keeps_side : True where the position held now stays on its side, so that a new bracket protects it at once
        """
        if mark == 0.0:
            return NO_PRICE, 0.0, False
        want = asked = 0.0
        if equity > 0.0:
            want = asked = weight * equity / mark
            if whole_shares:
                want = truncate(asked)
        keeps_side = ((held > 0.0) & (want > 0.0)) | ((held < 0.0) & (want < 0.0))
        change = want - held
        small = abs(change) * mark < least
        if (held == 0.0 or keeps_side) and (small or change == 0.0):
            left_out = asked if want == 0.0 else change
            return NO_ORDER, left_out if abs(left_out) * mark >= CENT else 0.0, keeps_side
        if not keeps_side and abs(want) * mark < least:  # out is always worth an order, dust on the other side is not
            change = -held
        # One answer rather than two branches: which it is nobody can guess, the processor neither.
        dollars = (change > 0.0) & (held >= 0.0) & (not limited) & (not whole_shares)
        return DOLLARS if dollars else SHARES, change * mark if dollars else change, keeps_side

    return size


def make_on_tick(nearest: Rounding, floor: Rounding) -> Callable[[float, bool], float]:
    """Return the function that moves a price to the next one brokers take, `up` or down; NaN stays what it is."""

    def on_tick(price: float, up: bool) -> float:
        if price != price:
            return price
        scale = 100.0 if price >= 1.0 else 10_000.0
        ticks = price * scale
        number = nearest(ticks)
        if abs(ticks - number) > 1e-6:
            number = -floor(-ticks) if up else floor(ticks)
        return max(number, 1.0) / scale

    return on_tick


PriceTerms = Callable[[float, tuple[float, float, float], float, float, float, float], tuple[float, float, float, int]]


def make_price_terms(on_tick: Callable[[float, bool], float]) -> PriceTerms:
    """Return the rule for prices, resting on `on_tick`."""

    def price_terms(
        weight: float, prices: tuple[float, float, float], first: float, held: float, mark: float, equity: float
    ) -> tuple[float, float, float, int]:
        """Return limit, stop and take-profit of a target on the tick, never worse than decided (bought lower, sold
        higher), and NO_EXITS, EXITS or BAD_EXITS. NaN is none. Profit is taken `first` there: at the take-profit, or
        where the first part leaves."""
        selling = weight * equity < held * mark
        limit = on_tick(prices[0], selling)
        stop, take = on_tick(prices[1], weight > 0.0), on_tick(prices[2], weight > 0.0)
        up, base = 1.0 if weight > 0.0 else -1.0, limit if limit == limit else mark
        nearest = on_tick(first, weight > 0.0)
        if stop != stop and nearest != nearest:
            return limit, stop, take, NO_EXITS
        if weight != 0.0 and ((up * (nearest - stop) < APART) | (up * (base - stop) < APART)):
            return limit, stop, take, BAD_EXITS
        return limit, stop, take, EXITS

    return price_terms


SizeAtBroker = Callable[[float, bool, int, float, float, float, bool, float], tuple[int, float, bool, float]]


def make_size_at_broker(truncate: Rounding, nearest: Rounding) -> SizeAtBroker:
    """Return the rule for quantities, resting on a function that cuts to whole numbers and one that rounds to them."""

    def size_at_broker(
        weight: float, limited: bool, exits: int, held: float, mark: float, equity: float, whole: bool, least: float
    ) -> tuple[int, float, bool, float]:
        """Return the order that a target leads to as `sizing.size` does, and the shares that are denied: of a short
        sale of a small account, or of a position whose exits are refused, which is left as it is, or only left."""
        if mark == 0.0:
            return NO_PRICE, 0.0, False, 0.0
        asked = weight * equity / mark if equity > 0.0 else 0.0
        held = nearest(held * NINE_DIGITS) / NINE_DIGITS  # a broker's books may be off in the last bit
        whole = whole | limited | (exits != NO_EXITS) | (weight < 0.0)
        want = kept = truncate(asked) if whole else nearest(asked * NINE_DIGITS) / NINE_DIGITS
        if exits == BAD_EXITS:
            kept = held if want * held > 0.0 else 0.0
        elif want < 0.0 and equity < BORROWING_EQUITY:
            kept = max(want, held) if held < 0.0 else 0.0
        denied, want = want - kept, kept
        keeps_side, broken = want * held > 0.0, truncate(held) != held
        change = want - held
        if held != 0.0 and not keeps_side and abs(want) * mark < least:
            change = -held
        if limited and broken:  # a fraction of a share is sold at the market only: here it stays
            change = truncate(change) if keeps_side else -truncate(held)
        small = abs(change) * mark < least
        if small and keeps_side and broken and exits == EXITS and not limited and abs(held) > 1.0:
            change, small = truncate(held) - held, False  # exits protect whole shares: the fraction goes
        change = nearest(change * NINE_DIGITS) / NINE_DIGITS
        if change == 0.0 or ((held == 0.0 or keeps_side) and small):
            left = 0.0 if denied != 0.0 else asked if want == 0.0 and held == 0.0 else want - held
            return NO_ORDER, left if abs(left) * mark >= CENT else 0.0, keeps_side, denied
        if change > 0.0 and held >= 0.0 and not whole:
            # Not through shares: nine decimals of one that costs thousands are more than a millionth of a dollar.
            dollars = truncate(nearest((weight * equity - held * mark) * 1e6) / 1e4) / 100.0
            verdict = DOLLARS if dollars >= LEAST_DOLLARS else NO_ORDER
            return verdict, dollars if verdict == DOLLARS else change, keeps_side, denied
        return SHARES, change, keeps_side, denied

    return size_at_broker
