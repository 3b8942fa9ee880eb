"""Small cases worked out with pencil and paper: the arithmetic stands beside each expected number."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from simulator.replay import backtrader_engine, kernel
from simulator.runs.same_open import count_same_open
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Decision, Target
from simulator.trading.sizing import place

NONE = float("nan")
CALM = (100.0, 101.0, 99.0, 100.0)


def close_to(*values: float) -> object:
    return pytest.approx(list(values), rel=1e-12, abs=1e-9)


def test_a_market_buy_in_dollars_spends_those_dollars_slippage_included(replay, bars_of, tape_of):
    bars = bars_of({"A": [(110.0, 121.0, 110.0, 121.0)]})
    tape, rules = tape_of(bars, (0, {"A": 0.5})), ExecutionRules(slippage_bps=100.0)
    ledger = replay(bars, tape, rules, 10_000.0, np.array([100.0]))
    (fill,) = ledger.fills
    # 5,000 dollars at 110 × 1.01 = 111.10 a share
    assert fill.quantity == pytest.approx(5000 / 111.1, rel=1e-14)
    assert fill.slippage == pytest.approx(5000 / 111.1 * 1.1, rel=1e-12)
    assert ledger.cash[0] == pytest.approx(5000.0, rel=1e-12)
    assert ledger.equity[0] == pytest.approx(5000 + 5000 / 111.1 * 121, rel=1e-12)
    assert ledger.orders[0].notional == 5000.0
    assert ledger.orders[0].quantity is None


@pytest.mark.parametrize(
    ("rules", "commission"),
    [
        (ExecutionRules(whole_shares=True, commission_per_share=0.01, commission_min=1.0), 1.0),  # 50 × 0.01 < 1
        (ExecutionRules(whole_shares=True, commission_per_share=0.05, commission_min=1.0), 2.5),  # 50 × 0.05
        (
            ExecutionRules(whole_shares=True, commission_per_share=0.05, commission_bps=10.0),
            2.5 + 5.0,
        ),  # + 5000 × 0.001
    ],
)
def test_commission_is_by_share_and_value_and_at_least_the_minimum(replay, bars_of, tape_of, rules, commission):
    bars = bars_of({"A": [CALM, CALM]})
    ledger = replay(bars, tape_of(bars, (0, {"A": 0.5})), rules, 10_000.0, np.array([99.0]))
    # 5,000 / 99 = 50.5 → 50 shares at 100
    assert ledger.fills[0].quantity == 50.0
    assert ledger.fills[0].commission == pytest.approx(commission, rel=1e-14)
    assert ledger.cash[-1] == pytest.approx(10_000 - 5_000 - commission, rel=1e-14)


def test_an_order_that_costs_can_push_over_cash_is_cut_by_its_own_commission(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM]})
    rules = ExecutionRules(whole_shares=True, commission_min=25.0)
    ledger = replay(bars, tape_of(bars, (1, {"A": 1.0})), rules, 10_000.0, None)
    # (10,000 − 25) / 100 = 99.75 → 99 shares
    assert ledger.positions[-1, 0] == 99.0
    assert ledger.cash[-1] == 10_000 - 9_900 - 25


def test_a_gap_through_the_stop_fills_at_the_open(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (90.0, 92.0, 88.0, 91.0)]})
    rules = ExecutionRules(whole_shares=True, slippage_bps=100.0)
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, NONE, 95.0, NONE)})), rules, 10_000.0, None)
    stop = ledger.fills[1]
    assert (stop.quantity, stop.price, stop.slippage, stop.why) == (-50.0, 90.0, 45.0, "stop")
    # 10,000 − 5,000 − 50, then + 4,500 − 45
    assert ledger.cash[-1] == 9_405.0


def test_a_gap_through_the_target_fills_at_the_open_and_pays_slippage_only_down_to_it(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (115.0, 116.0, 114.0, 115.0)]})
    rules = ExecutionRules(whole_shares=True, slippage_bps=1000.0)
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, NONE, NONE, 110.0)})), rules, 10_000.0, None)
    target = ledger.fills[1]
    # 10 % of 115 would be 11.50 a share; the limit is 5 away
    assert (target.quantity, target.price, target.slippage, target.why) == (-50.0, 115.0, 250.0, "take_profit")


def test_a_short_is_mirrored_stop_above_target_below(replay, bars_of, tape_of):
    stopped = bars_of({"A": [CALM, CALM, (100.0, 106.0, 89.0, 100.0)]})
    taken = bars_of({"A": [CALM, CALM, (100.0, 104.0, 89.0, 100.0)]})
    rules = ExecutionRules(whole_shares=True)
    exits = [
        replay(bars, tape_of(bars, (1, {"A": (-0.5, NONE, 105.0, 90.0)})), rules, 10_000.0, None).fills[1]
        for bars in (stopped, taken)
    ]
    assert [(f.quantity, f.price, f.why) for f in exits] == [(50.0, 105.0, "stop"), (50.0, 90.0, "take_profit")]


def test_a_limit_buy_fills_at_the_open_when_it_is_better_else_at_the_limit(replay, bars_of, tape_of):
    rules = ExecutionRules(whole_shares=True, slippage_bps=100.0)
    fills = []
    for bar in ((96.0, 97.0, 95.0, 96.0), (97.5, 99.0, 97.0, 98.0), (100.0, 101.0, 97.0, 99.0)):
        bars = bars_of({"A": [CALM, bar]})
        fills += replay(bars, tape_of(bars, (1, {"A": (0.5, 98.0, NONE, NONE)})), rules, 10_000.0, None).fills
    # 1 % of 96 is 0.96, the limit 2 away; 1 % of 97.5 is 0.975, the limit 0.50 away
    assert [(f.price, f.why) for f in fills] == [(96.0, "open"), (97.5, "open"), (98.0, "limit")]
    assert [f.slippage for f in fills] == close_to(50 * 0.96, 50 * 0.5, 0.0)


def test_a_limit_order_waits_until_its_price_comes(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, CALM, (99.0, 99.5, 97.9, 98.0)]})
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, 98.0, NONE, NONE)})), ExecutionRules(), 10_000.0, None)
    (fill,) = ledger.fills
    assert (fill.at, fill.price, fill.quantity) == (bars.opens_at[3], 98.0, 50.0)


def test_a_flip_is_two_fills_with_two_commissions(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, CALM]})
    rules = ExecutionRules(whole_shares=True, commission_min=1.0)
    tape = tape_of(bars, (1, {"A": 0.1}), (2, {"A": (-0.2, NONE, 120.0, NONE)}))
    ledger = replay(bars, tape, rules, 10_000.0, None)
    # 10 bought; equity 9,999: −1,999.80 / 100 → −19; so −29 = −10 out and −19 in
    assert [(f.order_id, f.quantity, f.commission) for f in ledger.fills] == [(0, 10, 1), (1, -10, 1), (1, -19, 1)]
    assert ledger.cash[-1] == 10_000 - 1_000 - 1 + 1_000 - 1 + 1_900 - 1


def test_a_limit_order_that_crosses_zero_within_the_bar_flips_at_its_price(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100.0, 103.0, 99.0, 100.0)]})
    tape = tape_of(bars, (1, {"A": 0.5}), (2, {"A": (-0.5, 102.0, NONE, NONE)}))
    ledger = replay(bars, tape, ExecutionRules(whole_shares=True), 10_000.0, None)
    assert [(f.quantity, f.price, f.why) for f in ledger.fills] == [
        (50.0, 100.0, "open"),
        (-50.0, 102.0, "limit"),
        (-50.0, 102.0, "limit"),
    ]
    # 10,000 + 50 × 2 gained; 50 short at 102, marked at 100: another 100
    assert ledger.equity[-1] == 10_200.0


def test_limit_buys_within_a_bar_do_not_spend_what_the_same_bar_brings_in(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100.0, 111.0, 99.0, 100.0)], "B": [CALM, CALM, (100.0, 101.0, 97.0, 100.0)]})
    tape = tape_of(bars, (1, {"A": (0.9, NONE, NONE, 110.0)}), (2, {"B": (0.5, 98.0, NONE, NONE)}))
    ledger = replay(bars, tape, ExecutionRules(whole_shares=True), 10_000.0, None)
    # A is sold at 110 within the bar, but B has only the 1,000 left before: 10 shares at 98, not 50
    assert [(f.symbol, f.quantity, f.price) for f in ledger.fills] == [("A", 90, 100), ("A", -90, 110), ("B", 10, 98)]


def test_what_a_bar_loses_is_not_spent_on_its_limit_buys_either(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100.0, 101.0, 60.0, 61.0)], "B": [CALM, CALM, (100.0, 101.0, 97.0, 100.0)]})
    tape = tape_of(bars, (1, {"A": (3.0, NONE, 65.0, NONE)}), (2, {"B": (0.5, 98.0, NONE, NONE)}))
    rules = ExecutionRules(initial_margin_long=0.25, maintenance_long=0.1)
    ledger = replay(bars, tape, rules, 1_000.0, None)
    # 30 of A bind 750 of 1,000; the stop loses 30 × 35 = 1,050: nothing is left for B, though 250 were at the open
    assert [(f.symbol, f.quantity, f.price) for f in ledger.fills] == [("A", 30.0, 100.0), ("A", -30.0, 65.0)]
    assert [(r.symbol, r.got, r.why) for r in ledger.rejections] == [("B", 0.0, "buying power")]
    assert ledger.equity[-1] == -50.0


def test_what_is_left_of_a_cut_order_is_dropped_when_it_is_worth_less_than_the_least_trade(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM] * 3, "B": [CALM] * 3})
    tape = tape_of(bars, (1, {"A": 0.95}), (2, {"B": 0.5}))
    kept, dropped = (replay(bars, tape, ExecutionRules(min_trade=m), 1_000.0, None) for m in (50.0, 50.5))
    assert kept.positions[-1].tolist() == [9.5, 0.5]  # 50 dollars are left
    assert dropped.positions[-1].tolist() == [9.5, 0.0]
    assert [(r.wanted, r.got) for r in (*kept.rejections, *dropped.rejections)] == [(5.0, 0.5), (5.0, 0.0)]


def test_the_least_trade_may_be_a_part_of_the_equity_of_the_last_close(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, (100.0, 200.0, 100.0, 200.0), *[(200.0, 200.0, 200.0, 200.0)] * 3], "B": [CALM] * 5})
    tape = tape_of(
        bars, (1, {"A": 0.5, "B": 0.004}), (2, {"A": 0.66, "B": 0.01}), (3, {"A": 0.6599}), (4, {"A": 0.0, "B": 0.0})
    )
    ledger = replay(bars, tape, ExecutionRules(min_trade_share=0.01), 10_000.0, None)
    # 50 shares double: equity is 15,000, a hundredth of it 150; 100 more dollars of A are too few, 150 of B enough
    assert [(f.symbol, f.quantity) for f in ledger.fills] == [("A", 50.0), ("B", 1.5), ("A", -50.0), ("B", -1.5)]
    assert [(r.symbol, r.wanted, r.got, r.why) for r in ledger.rejections] == [
        ("B", 0.4, 0.0, "too small"),
        ("A", -0.5, 0.0, "too small"),
        ("A", pytest.approx(-0.5075), 0.0, "too small"),
    ]


def test_what_is_left_of_a_cut_order_is_dropped_below_the_least_part_of_equity(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM] * 3, "B": [CALM] * 3})
    tape = tape_of(bars, (1, {"A": 0.95}), (2, {"B": 0.5}))
    kept, dropped = (replay(bars, tape, ExecutionRules(min_trade_share=m), 1_000.0, None) for m in (0.05, 0.0505))
    assert [ledger.positions[-1].tolist() for ledger in (kept, dropped)] == [[9.5, 0.5], [9.5, 0.0]]


def test_equity_of_exactly_the_maintenance_margin_is_enough(replay, bars_of, tape_of):
    calls = []
    for close in (160.0, 160.5):
        bars = bars_of({"A": [CALM, (100.0, close, 100.0, close), (close, close, close, close)]})
        rules = ExecutionRules(maintenance_short=0.25)
        ledger = replay(bars, tape_of(bars, (1, {"A": -1.0})), rules, 1_000.0, None)
        calls.append([f.why for f in ledger.fills])
    # 10 short from 100: at 160 equity is 400, a quarter of 1,600
    assert calls == [["open"], ["open", "margin_call"]]


def test_a_margin_call_leaves_a_position_that_does_not_trade_and_asks_again(replay, bars_of, tape_of):
    up = (180.0, 180.0, 180.0, 180.0)
    bars = bars_of({"A": [CALM, CALM, up, None, up]})
    ledger = replay(bars, tape_of(bars, (1, {"A": -1.0})), ExecutionRules(), 1_000.0, None)
    assert [(f.at, f.why) for f in ledger.fills] == [(bars.opens_at[1], "open"), (bars.opens_at[4], "margin_call")]


def test_a_margin_call_truncates_what_is_kept_when_shares_are_whole(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (180.0, 180.0, 180.0, 180.0), (180.0, 180.0, 180.0, 180.0)]})
    ledger = replay(bars, tape_of(bars, (1, {"A": -1.0})), ExecutionRules(whole_shares=True), 1_000.0, None)
    assert ledger.positions[-1, 0] == -2.0  # of 2.22


def test_dividends_are_paid_to_longs_and_by_shorts_on_the_shares_held_before_the_open(replay, bars_of, tape_of):
    dividend = np.array([[0.0, 0.0], [5.0, 5.0], [0.5, 0.25]])
    bars = bars_of({"LONG": [CALM] * 3, "SHORT": [CALM] * 3}, dividend=dividend)
    ledger = replay(bars, tape_of(bars, (1, {"LONG": 0.5, "SHORT": -0.2})), ExecutionRules(), 10_000.0, None)
    # bought at the open of the 5-dollar day: not theirs; then 50 × 0.50 − 20 × 0.25
    assert ledger.cash.tolist() == [10_000.0, 7_000.0, 7_020.0]


def test_interest_is_booked_at_the_close_of_a_session_on_the_cash_carried_into_it(replay, bars_of, tape_of):
    hours = 14 + np.arange(4) * 2
    days = np.array([19_724, 19_724, 19_725, 19_725])
    opens_at = (days * 24 + hours) * 3_600_000_000_000
    bars = bars_of({"A": [CALM] * 4}, opens_at=opens_at, closes_at=opens_at + 3_600_000_000_000, session_of=days)
    ledger = replay(bars, tape_of(bars, (2, {"A": 0.5})), ExecutionRules(cash_interest=0.0252), 10_000.0, None)
    # 10,001 were carried into the second session, though half of it was spent at its open
    assert ledger.cash == close_to(10_000.0, 10_001.0, 5_000.5, 5_000.5 + 1.0001)


def test_cash_earns_the_return_of_the_cash_instrument_and_a_debit_pays_it_with_the_spread(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM] * 3}, cash_return=np.array([0.001, 0.002, 0.003]))
    rules = ExecutionRules(cash_interest=NONE, margin_spread=0.0252, initial_margin_long=0.5)
    ledger = replay(bars, tape_of(bars, (1, {"A": 2.0})), rules, 10_000.0, None)
    # 10,010 buy for 20,020 at the second open; the debit of 10,010, less what the day began with earned, is carried
    debit = 10_010 - 20_020 + 10_010 * 0.002
    assert ledger.cash == close_to(10_010.0, debit, debit * (1 + 0.003 + 0.0001))


@pytest.mark.parametrize("earns", [False, True])
def test_what_short_sales_bring_in_earns_nothing_unless_asked(replay, bars_of, tape_of, earns):
    bars = bars_of({"A": [CALM] * 3, "B": [CALM] * 3}, cash_return=np.array([0.0, 0.0, 0.01]))
    rules = ExecutionRules(cash_interest=NONE, short_proceeds_earn=earns)
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.25, "B": -0.5})), rules, 10_000.0, None)
    # 12,500 of cash, 5,000 of it the short sale's
    assert ledger.cash == close_to(10_000.0, 12_500.0, 12_500 + 0.01 * (12_500 if earns else 7_500))


def test_longs_paid_with_the_proceeds_of_shorts_are_a_debit(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM] * 3, "B": [CALM] * 3}, cash_return=np.array([0.0, 0.0, 0.01]))
    rules = ExecutionRules(cash_interest=NONE, margin_spread=0.0252, initial_margin_long=0.5)
    ledger = replay(bars, tape_of(bars, (1, {"A": 1.2, "B": -0.5})), rules, 10_000.0, None)
    # 3,000 of cash stand against 5,000 that belong to the lender of B
    assert ledger.cash == close_to(10_000.0, 3_000.0, 3_000.0 - 2_000 * (0.01 + 0.0001))


def test_an_idle_account_earns_exactly_what_excess_returns_subtract(replay, bars_of, tape_of):
    earned = np.random.default_rng(0).normal(1e-4, 1e-4, 300)
    bars = bars_of({"A": [CALM] * 300}, cash_return=earned)
    ledger = replay(bars, tape_of(bars), ExecutionRules(cash_interest=NONE), 100_000.0, None)
    cash, idle = 100_000.0, []
    for rate in earned.tolist():
        cash += cash * rate
        idle.append(cash)
    assert ledger.equity.tolist() == idle


def test_a_new_target_replaces_the_bracket_and_the_pending_order_even_when_it_needs_no_order(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, CALM, CALM, (100.0, 101.0, 80.0, 90.0)]})
    tape = tape_of(
        bars,
        (1, {"A": (0.5, NONE, 95.0, NONE)}),
        (2, {"A": (0.9, 90.0, 95.0, NONE)}),  # a limit order far below
        (3, {"A": (0.5, NONE, 85.0, NONE)}),  # as it is: no order, a lower stop
    )
    ledger = replay(bars, tape, ExecutionRules(whole_shares=True), 10_000.0, None)
    assert [o.status for o in ledger.orders] == ["filled", "cancelled"]
    assert [(f.quantity, f.price) for f in ledger.fills] == [(50.0, 100.0), (-50.0, 85.0)]


def test_changes_below_the_least_trade_make_no_order_but_getting_out_always_does(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100.0, 100.0, 50.0, 50.0), (50.0, 50.0, 50.0, 50.0)]})
    tape = tape_of(bars, (1, {"A": 0.01}), (2, {"A": 0.015}), (3, {"A": 0.0}))
    ledger = replay(bars, tape, ExecutionRules(min_trade=99.0), 10_000.0, None)
    # 100 dollars are worth an order, 50 more are not; the way out is, though it brings only 50
    assert [(f.quantity, f.price) for f in ledger.fills] == [(1.0, 100.0), (-1.0, 50.0)]


def test_of_two_decisions_before_one_open_the_later_counts(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM]})
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.5}), (1, {"A": -0.1})), ExecutionRules(), 10_000.0, None)
    assert [o.status for o in ledger.orders] == ["cancelled", "filled"]
    assert ledger.positions[-1, 0] == -10.0


def test_decision_code_sees_the_book_of_the_last_close_and_fills_at_the_next_open(bars_of):
    bars = bars_of({"A": [CALM, (100.0, 110.0, 100.0, 110.0), (120.0, 120.0, 120.0, 120.0)]})
    books = []

    def decide(k, broker):
        books.append(broker.book())
        as_of = datetime(2024, 1, 3 + k, 13, tzinfo=UTC)
        place(Decision(as_of, (Target("A", 0.5),)), broker, ExecutionRules(whole_shares=True))

    instants = bars.opens_at[1:] - 5_400_000_000_000
    ledger = backtrader_engine.replay(bars, instants, decide, ExecutionRules(whole_shares=True), 10_000.0, None)
    assert [(b.cash, dict(b.positions), dict(b.marks), b.equity) for b in books] == [
        (10_000.0, {}, {"A": 100.0}, 10_000.0),
        (5_000.0, {"A": 50.0}, {"A": 110.0}, 10_500.0),
    ]
    assert books[1].weight("A") == pytest.approx(5_500 / 10_500)
    # 5,250 / 110 = 47.7 → 47: three sold at 120
    assert [(f.quantity, f.price) for f in ledger.fills] == [(50.0, 100.0), (-3.0, 120.0)]


def test_orders_that_wait_for_each_other_at_a_broker_are_counted(bars_of, tape_of):
    flat = (10.0, 10.0, 10.0, 10.0)
    bars = bars_of({"A": [flat] * 4, "B": [flat] * 4})
    tape = tape_of(bars, (1, {"A": 0.9}), (2, {"A": -0.9}), (3, {"A": -0.1, "B": 1.5}))
    rules = ExecutionRules(alpaca=True, initial_margin_long=0.5, cash_interest=NONE)
    ledger = kernel.replay_tape(bars, tape, rules, 10_000.0)
    assert [round(fill.quantity, 9) for fill in ledger.fills] == [900.0, -900.0, -900.0, 800.0, 1500.0]
    assert count_same_open(ledger) == (1, 1)
