"""Every edge of the broker that can be brought about: the exchange's side of each, a fault, a switch or a deed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.exchange.accounts import PaperAccount
from simulator.exchange.exchange import Exchange, Update
from simulator.exchange.faults import Faults
from simulator.exchange.orders import Order, Refusal
from simulator.exchange.script import play
from simulator.market.bars import Bars
from simulator.market.calendar import sessions
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, on_bar, submit
from simulator.trading.model import Order as Instruction

HOUR = 3_600_000_000_000
Rows = list[tuple[float, float, float, float]]
FLAT: Rows = [(100.0, 101.0, 99.0, 100.0)]


def make_bars(*symbols: Rows, first: str = "2024-06-03") -> Bars:
    """Daily bars of A, B … from a session on."""
    day = date.fromisoformat(first)
    days = sessions(day, day + timedelta(days=60))
    count = len(symbols[0])
    o, h, l, c = (np.array([[row[k] for row in rows] for rows in symbols]).T for k in range(4))  # noqa: E741
    names = tuple("ABCDEF"[: len(symbols)])
    return Bars(
        names, days.opens_at[:count], days.closes_at[:count], o, h, l, c, np.full_like(o, 1e6), np.zeros_like(o),
        days.session_of[:count], ("x",) * len(names),
    )  # fmt: skip


@dataclass
class Desk:
    """An exchange an hour and a half before its second session, one account, and what its stream was told."""

    exchange: Exchange
    account: PaperAccount
    told: list[Update]

    def order(self, side: str = "buy", qty: float = 10, symbol: str = "A", **more: Any) -> Order:
        body = {"symbol": symbol, "side": side, "qty": qty, "type": "market", "time_in_force": "gtc", **more}
        return self.exchange.submit(self.account, body)

    def bracket(self, stop: float = 50.0, take: float = 150.0, **more: Any) -> Order:
        legs = {"stop_loss": {"stop_price": stop}, "take_profit": {"limit_price": take}}
        return self.order(order_class="bracket", **legs, **more)

    def next_open(self) -> None:
        opens = self.exchange.bars.opens_at
        self.exchange.advance(int(opens[opens > self.exchange.now][0]))

    def next_close(self) -> None:
        closes = self.exchange.bars.closes_at
        self.exchange.advance(int(closes[closes > self.exchange.now][0]))

    def events(self, order: Order) -> list[str]:
        return [one.event for one in self.told if one.order is order]


def open_desk(*symbols: Rows, faults: Faults | None = None, **more: Any) -> Desk:
    bars = make_bars(*(symbols or (FLAT * 6,)))
    exchange = Exchange(
        bars, int(bars.opens_at[1]) - 3 * HOUR // 2, slippage_bps=0.0, faults=faults or Faults(), **more
    )
    told: list[Update] = []
    exchange.listeners.append(told.append)
    return Desk(exchange, exchange.account("K", "S"), told)


def with_fault(name: str, **rule: object) -> Desk:
    return open_desk(faults=Faults({name: rule}))


# Groups of orders


def test_one_order_of_a_group_is_cancelled_and_the_others_with_it() -> None:
    desk = open_desk()
    entry = desk.bracket()
    desk.next_open()
    take, stop = entry.legs
    desk.exchange.cancel(desk.account, take)
    assert (take.status, stop.status, desk.account.shares_of("A")) == ("canceled", "canceled", 10.0)


def test_the_broker_ends_one_leg_and_the_others_stay_where_that_is_asked_for() -> None:
    desk = with_fault("group-left")
    entry = desk.bracket()
    desk.next_open()
    play(desk.exchange, ["end A take_profit"])
    assert [leg.status for leg in entry.legs] == ["canceled", "new"]


def test_both_legs_fill_and_leave_a_short() -> None:
    desk = open_desk(FLAT * 2 + [(100.0, 140.0, 99.0, 120.0)] * 3, faults=Faults({"both-legs": 1.0}))
    entry = desk.bracket(stop=90.0, take=120.0)
    desk.next_open()
    desk.next_close()
    desk.next_close()
    assert [leg.status for leg in entry.legs] == ["filled", "filled"]
    assert desk.account.shares_of("A") == -10.0


@pytest.mark.parametrize(("uncut", "left"), [(False, 5.0), (True, 10.0)])
def test_a_take_profit_fills_in_part_and_the_stop_is_cut_to_the_rest_or_is_not(uncut: bool, left: float) -> None:
    faults = Faults({"partial": {"on": "take_profit"}, "stop-uncut": float(uncut)})
    desk = open_desk(FLAT * 2 + [(100.0, 140.0, 99.0, 120.0)] * 2 + FLAT, faults=faults)
    entry = desk.bracket(stop=90.0, take=120.0)
    desk.next_open()
    take, stop = entry.legs
    desk.exchange.advance(int(desk.exchange.bars.closes_at[2]))
    assert (take.status, take.filled, stop.status, stop.left) == ("partially_filled", 5.0, "new", left)
    desk.next_close()
    assert (take.status, stop.status, desk.account.shares_of("A")) == ("filled", "canceled", 0.0)


def test_an_entry_fills_in_part_and_its_legs_are_held_until_it_is_whole() -> None:
    desk = with_fault("partial", on="entry")
    entry = desk.bracket(qty=9)
    desk.next_open()
    assert (entry.status, entry.filled, [leg.status for leg in entry.legs]) == ("partially_filled", 4.0, ["held"] * 2)
    desk.next_open()
    assert (entry.status, [leg.status for leg in entry.legs]) == ("filled", ["new"] * 2)


# Races


def test_a_cancellation_loses_to_a_fill() -> None:
    desk = with_fault("fill-wins")
    order = desk.order(type="limit", limit_price=90)
    with pytest.raises(Refusal, match='already in "filled"') as refused:
        desk.exchange.cancel(desk.account, order)
    assert (refused.value.status, desk.account.shares_of("A"), desk.events(order)) == (422, 10.0, ["accepted", "fill"])


def test_a_cancellation_is_accepted_and_the_order_fills_all_the_same() -> None:
    desk = with_fault("cancel-late")
    order = desk.order(type="limit", limit_price=90)
    desk.exchange.cancel(desk.account, order)
    assert order.status == "accepted"
    desk.exchange.advance(desk.exchange.now + 1)
    assert (order.status, desk.account.executions[0].price) == ("filled", 90.0)


def test_a_replacement_is_pending_and_takes_its_place_when_time_goes_on() -> None:
    desk = with_fault("replace-pending")
    order = desk.order(type="limit", limit_price=90)
    changed = desk.exchange.replace(desk.account, order, {"limit_price": 91})
    assert (order.status, changed.status) == ("pending_replace", "pending_new")
    for again in (desk.exchange.cancel, lambda *one: desk.exchange.replace(*one, {"limit_price": 92})):
        with pytest.raises(Refusal, match="pending_replace"):
            again(desk.account, order)
    desk.exchange.advance(desk.exchange.now + 1)
    assert (order.status, order.replaced_by, changed.status) == ("replaced", changed.id, "accepted")


def test_an_order_that_fills_while_it_is_replaced_leaves_the_new_one_rejected() -> None:
    desk = with_fault("replace-pending")
    order = desk.order(type="limit", limit_price=90)
    changed = desk.exchange.replace(desk.account, order, {"limit_price": 91})
    play(desk.exchange, ["fill A entry"])
    desk.exchange.advance(desk.exchange.now + 1)
    assert (order.status, changed.status, desk.account.shares_of("A")) == ("filled", "rejected", 10.0)


def test_an_order_is_accepted_and_rejected_later() -> None:
    desk = with_fault("order-rejected", times=1)
    order, other = desk.order(), desk.order()
    desk.next_open()
    assert (order.status, other.status, desk.account.shares_of("A")) == ("rejected", "filled", 10.0)


def test_in_an_open_market_a_fill_is_told_before_its_order_is_answered() -> None:
    desk = with_fault("fill-first")
    desk.next_open()
    assert desk.order().status == "filled"
    assert [one.event for one in desk.told] == ["new", "fill"]


# What lasts over night


def test_a_day_order_ends_early_and_one_for_good_is_there_the_next_morning() -> None:
    desk = open_desk()
    day, good = (desk.order(type="limit", limit_price=50, time_in_force=force) for force in ("day", "gtc"))
    play(desk.exchange, ["at 2024-06-04T11:00 end A entry done_for_day"])
    desk.next_close()
    assert {day.status, good.status} == {"done_for_day"}
    desk = open_desk()
    good = desk.order(type="limit", limit_price=50)
    desk.next_close()
    desk.next_open()
    assert good.status == "new"


def test_an_order_for_good_is_cancelled_after_90_days() -> None:
    desk = open_desk(FLAT * 42)
    desk.exchange.advance(int(desk.exchange.bars.opens_at[1]) + 1)
    order = desk.order(type="limit", limit_price=50)
    assert str(np.datetime64(order.expires_at, "ns"))[:16] == "2024-09-02T20:15"
    order.expires_at -= 60 * 24 * HOUR  # rather than bars of ninety days: now it is the 4th of July, without a session
    desk.exchange.advance(int(sessions(date(2024, 7, 3), date(2024, 7, 3)).closes_at[0]))
    assert order.status == "new"
    desk.next_close()
    assert order.status == "canceled"


@pytest.mark.parametrize(("orders", "status", "shares"), [("left", "filled", 90.0), ("cancelled", "canceled", 100.0)])
def test_a_split_overnight_multiplies_shares_and_leaves_or_cancels_old_orders(
    orders: str, status: str, shares: float
) -> None:
    desk = open_desk()
    play(desk.exchange, [f"at 2024-06-05T08:00Z split A 10 orders={orders}"])
    assert desk.exchange.prices.price("A", desk.exchange.now) == 1000.0
    entry = desk.bracket(stop=900.0, take=1500.0)
    desk.next_close()
    equity = desk.account.equity(desk.exchange.prices, desk.exchange.now)
    desk.exchange.advance(int(desk.exchange.bars.opens_at[2]) - HOUR)
    assert (desk.account.shares_of("A"), desk.account.holdings["A"].entry) == (100.0, 100.0)
    assert desk.account.equity(desk.exchange.prices, desk.exchange.now) == equity
    desk.next_open()  # an old stop, in old dollars, sells what it says at once
    assert (entry.legs[1].status, desk.account.shares_of("A")) == (status, shares)


def test_a_split_that_comes_unforeseen_leaves_what_was_traded_as_it_was() -> None:
    desk = open_desk()
    desk.order(time_in_force="day")
    desk.next_close()
    play(desk.exchange, [{"split": {"symbol": "a", "ratio": 0.1}}])
    assert desk.account.shares_of("A") == 1.0
    assert desk.exchange.prices.last_trade("A", desk.exchange.now) == (desk.exchange.now, 100.0)
    assert desk.exchange.prices.price("A", desk.exchange.now) == 1000.0
    desk.next_open()
    assert desk.exchange.prices.price("A", desk.exchange.now) == 1000.0


# Accounts


@pytest.mark.parametrize("block", ["account-blocked", "trading-blocked", "suspend-trade"])
def test_a_blocked_account_takes_no_order_until_it_is_free_again(block: str) -> None:
    desk = open_desk()
    play(desk.exchange, [f"at 2024-06-04T12:30Z {block} K", f"at 2024-06-04T12:45Z {block} K chance=0"])
    kept = desk.order(type="limit", limit_price=50)
    desk.exchange.advance(desk.exchange.now + HOUR // 2)
    assert desk.exchange.blocks(desk.account) == [block]
    for act in (desk.order, lambda: desk.exchange.replace(desk.account, kept, {"limit_price": 51})):
        with pytest.raises(Refusal, match="not authorized to trade"):
            act()
    desk.exchange.advance(desk.exchange.now + HOUR // 4)
    assert desk.order().status == "accepted"


def test_an_account_is_reset() -> None:
    desk = open_desk()
    desk.order()
    desk.next_open()
    number, cut = desk.account.number, []
    desk.exchange.cutters.append(cut.append)
    play(desk.exchange, ["reset K"])
    new = desk.exchange.account("K", "S")
    assert (new.number != number, new.cash, list(new.positions()), new.orders) == (True, 100_000.0, [], {})
    assert cut == [desk.account]


def test_a_key_is_revoked() -> None:
    desk = open_desk()
    play(desk.exchange, ["key-revoked K"])
    with pytest.raises(Refusal) as refused:
        desk.exchange.account("K", "S")
    assert refused.value.status == 401
    assert desk.exchange.account("OTHER", "S").key == "OTHER"


def test_an_account_below_2000_dollars_or_one_that_does_not_borrow() -> None:
    desk = open_desk()
    play(desk.exchange, ["cash 1999"])
    with pytest.raises(Refusal, match="not allowed to short"):
        desk.order("sell", 1)
    play(desk.exchange, ["cash 2000"])
    assert desk.order("sell", 1).status == "accepted"
    desk = open_desk()
    desk.account.borrowing = False
    with pytest.raises(Refusal, match="insufficient buying power"):
        desk.order(qty=1_000)


def test_what_becomes_hard_to_borrow_overnight_cancels_shorts_that_wait_and_refuses_others() -> None:
    desk = open_desk(FLAT * 6, FLAT * 6)
    desk.order("sell", 5)
    desk.next_open()
    waiting, other = (
        desk.order("sell", 5, type="limit", limit_price=300),
        desk.order("sell", 5, "B", type="limit", limit_price=300),
    )
    play(desk.exchange, ["at 2024-06-05T08:00Z hard-to-borrow A"])
    desk.next_open()
    assert (waiting.status, other.status, desk.account.shares_of("A")) == ("canceled", "new", -5.0)
    with pytest.raises(Refusal, match='asset "A" cannot be sold short'):
        desk.order("sell", 5)
    assert desk.order("buy", 5).status == "filled"


def test_an_order_is_entered_by_hand() -> None:
    desk = open_desk()
    play(desk.exchange, ["order A buy 7"])
    desk.next_open()
    assert desk.account.shares_of("A") == 7.0
    assert len(desk.account.orders) == 1


# The market


def test_a_halted_symbol_takes_no_order_fills_none_and_its_quote_stands() -> None:
    desk = open_desk([(100.0 + k, 110.0, 90.0, 100.0 + k) for k in range(6)], FLAT * 6)
    waiting, other = desk.order(), desk.order(symbol="B")
    halted_at = desk.exchange.now
    play(desk.exchange, ["halt A"])
    desk.next_open()
    assert (waiting.status, other.status) == ("new", "filled")
    assert (desk.exchange.prices.quote("A", desk.exchange.now) or (0,))[0] == halted_at
    with pytest.raises(Refusal, match="halted"):
        desk.order()
    play(desk.exchange, ["halt A chance=0"])
    desk.next_open()
    assert waiting.status == "filled"


def test_a_quote_goes_stale_and_orders_fill() -> None:
    desk = open_desk([(100.0 + k, 110.0, 90.0, 100.0 + k) for k in range(6)])
    stale_at, order = desk.exchange.now, desk.order()
    play(desk.exchange, ["stale A"])
    desk.next_open()
    assert desk.exchange.prices.quote("A", desk.exchange.now) == (stale_at, 99.995, 100.005)
    assert order.status == "filled"


@pytest.mark.parametrize(
    ("force", "wall", "taken"),
    [
        ("opg", "09:27", True), ("opg", "09:28", False), ("opg", "18:59", False), ("opg", "19:00", True),
        ("cls", "15:49", True), ("cls", "15:50", False), ("cls", "18:59", False), ("cls", "19:00", True),
    ],
)  # fmt: skip
def test_the_windows_of_opening_and_closing_orders(force: str, wall: str, taken: bool) -> None:
    desk = open_desk()
    play(
        desk.exchange,
        [{"at": f"2024-06-05T{wall}", "order": {"symbol": "A", "side": "buy", "qty": 1, "time_in_force": force}}],
    )
    to = int(desk.exchange.bars.opens_at[2]) + 12 * HOUR
    desk.exchange.advance(to)
    assert len(desk.account.orders) == taken
    assert [f"{force} orders are taken until" in one["why"] for one in desk.exchange.refused] == [True] * (not taken)


def test_on_a_half_day_the_closing_window_moves_with_the_bell() -> None:
    bars = make_bars(FLAT * 5, first="2024-11-26")  # the 29th closes at 13:00
    exchange = Exchange(bars, int(bars.closes_at[2]) - HOUR // 6)
    with pytest.raises(Refusal, match="cls orders"):
        exchange.submit(
            exchange.account("K", "S"),
            {"symbol": "A", "side": "buy", "qty": 1, "type": "market", "time_in_force": "cls"},
        )
    assert exchange.prices.next_close(exchange.now) - exchange.now == HOUR // 6


def test_the_closure_of_2025_01_09_and_the_weeks_in_which_clocks_change() -> None:
    prices = Exchange(make_bars(FLAT * 5, first="2025-01-06"), 0).prices
    closed = int(np.datetime64("2025-01-09T15:00", "ns").astype(np.int64))
    assert not prices.is_open(closed)
    assert str(np.datetime64(prices.next_open(closed), "ns"))[:16] == "2025-01-10T14:30"
    friday = int(np.datetime64("2025-03-07T21:00", "ns").astype(np.int64))
    assert str(np.datetime64(prices.next_open(friday), "ns"))[:16] == "2025-03-10T13:30"
    friday = int(np.datetime64("2025-10-31T20:00", "ns").astype(np.int64))
    assert str(np.datetime64(prices.next_open(friday), "ns"))[:16] == "2025-11-03T14:30"


# Equal to replay


def test_what_is_closed_and_what_is_opened_on_one_morning_costs_what_it_costs_in_replay() -> None:
    rules = ExecutionRules(
        slippage_bps=2.0, commission_per_share=0.005, commission_bps=1.0, commission_min=1.0, limit_through=True,
        min_trade=0.0, cash_interest=0.0,
    )  # fmt: skip
    rows = [[(100.0 + k, 103.0 + k, 98.0 + k, 101.0 + k) for k in range(6)], [(50.0, 52.0, 49.0, 51.0)] * 6]
    desk = open_desk(*rows, rules=rules)
    mine = Account.open(100_000.0, {"A": 101.0, "B": 51.0})
    days = [[("A", 800.0)], [("A", -800.0), ("B", 1500.0)], [("B", -700.0), ("A", -100.0)]]
    for number, wanted in enumerate(days):
        for symbol, shares in reversed(wanted):  # what opens is sent first
            desk.order("buy" if shares > 0 else "sell", abs(shares), symbol, time_in_force="day")
            submit(mine, Instruction(number, symbol, 0, shares))
        t = number + 1
        on_bar(mine, [(*(float(one) for one in rows[n][t]), 0.0) for n in range(2)], 0, 0.0, rules)
        desk.next_close()
        assert {s: desk.account.shares_of(s) for s in "AB"} == {s: p.shares for s, p in mine.positions.items()}
        assert desk.account.cash == pytest.approx(mine.cash, abs=1e-6)
        assert desk.account.equity(desk.exchange.prices, desk.exchange.now) == pytest.approx(mine.equity, abs=1e-6)


# Faults themselves


def test_what_strikes_does_not_depend_on_what_came_before() -> None:
    def struck(names: str) -> set[str]:
        faults = Faults({"order-rejected": 0.5}, seed=3)
        desk = open_desk(faults=faults)
        for name in names:
            desk.order(qty=1, client_order_id=name)
        desk.next_open()
        return {one.client_order_id for one in desk.account.orders.values() if one.status == "rejected"}

    assert struck("abcdefgh") == struck("hgfedcba")
    assert 0 < len(struck("abcdefgh")) < 8


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hallt A", 'no fault "hallt", did you mean "halt"?'), ("halt A B", "too many words"),
        ("halt A since=3", "no since"), ("reply-lost=2", "reply-lost was 2.0"), ("", "names no fault"),
        ("at noon cut", 'at was "noon"'), ("split NOPE 2", 'no symbol "NOPE"'), ("split A", "ratio was None"),
        ("cash many", "cash was many"), ("end A entry lost", "ended lost"), ('halt "', "No closing quotation"),
        ("reset OTHER", '0 accounts are "OTHER"'), ("503 times=0", "503 was 0"),
    ],
)  # fmt: skip
def test_a_line_that_makes_no_sense_is_refused_and_nothing_of_its_script_happens(line: str, words: str) -> None:
    desk = open_desk()
    with pytest.raises(UsageError) as refused:
        play(desk.exchange, ["halt A", line] if "cash" not in line else [line])
    assert words in str(refused.value)
