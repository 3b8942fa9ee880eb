"""What backtrader does that a user would call wrong, and our rule: one test for each, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules

FREE = ExecutionRules(min_trade=0.0)
WHOLE = ExecutionRules(whole_shares=True)
NONE = float("nan")
CALM = (100.0, 101.0, 99.0, 100.0)


def test_rule_1_a_gap_trims_the_order_and_sells_come_before_buys(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100, 100, 100, 100)], "B": [CALM, CALM, (125, 125, 125, 125)]})
    tape = tape_of(bars, (1, {"A": 1.0}), (2, {"A": 0.0, "B": 1.0}))
    ledger = replay(bars, tape, WHOLE, 10_000.0, None)
    assert [(f.symbol, f.quantity, f.price) for f in ledger.fills] == [
        ("A", 100.0, 100.0),
        ("A", -100.0, 100.0),
        ("B", 80.0, 125.0),
    ]
    (trim,) = ledger.rejections
    assert (trim.symbol, trim.wanted, trim.got, trim.why) == ("B", 100.0, 80.0, "buying power")
    assert ledger.orders[2].status == "partly_filled"


def test_rule_1_buys_beyond_cash_are_trimmed_pro_rata(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, (150, 150, 150, 150)], "B": [CALM, CALM]})
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.5, "B": 0.5})), WHOLE, 10_000.0, None)
    # 50 shares at 150 and 50 at 100 need 12,500 of 10,000: four fifths of each
    assert [(f.quantity, f.price) for f in ledger.fills] == [(40.0, 150.0), (40.0, 100.0)]
    assert [(r.wanted, r.got, r.why) for r in ledger.rejections] == [(50.0, 40.0, "buying power, pro rata")] * 2
    assert ledger.cash[-1] == 0.0


def test_rule_2_an_oversized_order_does_not_poison_the_batch(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM], "B": [CALM, CALM]})
    ledger = replay(bars, tape_of(bars, (1, {"A": 50.0, "B": 0.5})), FREE, 10_000.0, None)
    # A alone is cut to what there is, 10,000; with B's 5,000 both are then scaled by two thirds
    assert [f.quantity for f in ledger.fills] == pytest.approx([100 * 2 / 3, 50 * 2 / 3], rel=1e-12)
    assert ledger.cash[-1] == pytest.approx(0.0, abs=1e-9)


def test_rule_2_a_bracket_frees_no_cash(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM]})
    plain = replay(bars, tape_of(bars, (1, {"A": 3.0})), WHOLE, 10_000.0, None)
    bracketed = replay(bars, tape_of(bars, (1, {"A": (3.0, NONE, 50.0, 200.0)})), WHOLE, 10_000.0, None)
    assert plain.positions[-1, 0] == bracketed.positions[-1, 0] == 100.0


def test_rule_3_a_stop_is_awake_on_the_entry_bar_and_counts_before_the_target(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, (100.0, 112.0, 94.0, 105.0)]})
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, NONE, 95.0, 110.0)})), WHOLE, 10_000.0, None)
    assert [(f.quantity, f.price, f.why) for f in ledger.fills] == [(50.0, 100.0, "open"), (-50.0, 95.0, "stop")]


@pytest.mark.parametrize(
    ("bar", "left"),
    [
        ((100.0, 112.0, 90.0, 100.0), (95.0, "stop")),  # on its way to 95 it has passed 98
        ((100.0, 112.0, 96.0, 111.0), (110.0, "take_profit")),  # it closes beyond 110, so it came back after 98
        ((100.0, 112.0, 96.0, 100.0), None),  # 110 may have come before 98: the target waits
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_rule_3_a_position_entered_within_a_bar_leaves_in_it_only_where_that_is_certain(
    replay, bars_of, tape_of, side, bar, left
):
    def mirrored(price):
        return 100.0 + side * (price - 100.0)

    opened, high, low, close = map(mirrored, bar)
    bars = bars_of({"A": [CALM, (opened, max(high, low), min(high, low), close)]})
    target = (0.5 * side, *map(mirrored, (98.0, 95.0, 110.0)))
    ledger = replay(bars, tape_of(bars, (1, {"A": target})), WHOLE, 10_000.0, None)
    exits = [left] if left else []
    assert [(f.price, f.why) for f in ledger.fills] == [
        (mirrored(98.0), "limit"),
        *((mirrored(price), why) for price, why in exits),
    ]


@pytest.mark.parametrize("stop", [97.0, 99.5])
def test_rule_3_a_stop_before_the_limit_closes_at_the_limit(replay, bars_of, tape_of, stop):
    bars = bars_of({"A": [CALM, (100.0, 100.0, 96.0, 98.0)]})
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, 98.0, stop, NONE)})), WHOLE, 10_000.0, None)
    assert [(f.price, f.why) for f in ledger.fills] == [(98.0, "limit"), (min(stop, 98.0), "stop")]


@pytest.mark.parametrize(
    ("low", "filled"), [(98.0, False), (97.995, False), (97.99, True)], ids=["touched", "by half a cent", "by a cent"]
)
def test_a_limit_fills_within_the_bar_where_the_price_goes_through_it(replay, bars_of, tape_of, low, filled):
    bars = bars_of({"A": [CALM, (100.0, 101.0, low, 100.0)]})
    tape = tape_of(bars, (1, {"A": (0.5, 98.0, NONE, NONE)}))
    through = replay(bars, tape, replace(WHOLE, limit_through=True), 10_000.0, None)
    assert [f.why for f in through.fills] == (["limit"] if filled else [])
    assert [f.price for f in replay(bars, tape, WHOLE, 10_000.0, None).fills] == [98.0]


@pytest.mark.parametrize(("scale", "tick"), [(6000.0, 60.0), (1.0, 0.01), (1e-3, 1e-5), (1e-7, 1e-9)])
def test_the_tick_a_take_profit_is_passed_by_is_a_cent_or_a_ten_thousandth(replay, bars_of, tape_of, scale, tick):
    calm, take, rules = tuple(scale * price for price in CALM), 100.5 * scale, replace(WHOLE, limit_through=True)
    for beyond, closed in ((0.5 * tick, False), (1.5 * tick, True)):
        bars = bars_of({"A": [calm, calm, (calm[0], take + beyond, calm[2], calm[3])]})
        tape = tape_of(bars, (1, {"A": (0.5, NONE, NONE, 1.5 * take)}), (2, {"A": (0.5, NONE, NONE, take)}))
        ledger = replay(bars, tape, replace(rules, whole_shares=False, min_trade=0.0), 10_000.0, None)
        assert [(f.price, f.why) for f in ledger.fills[1:]] == ([(take, "take_profit")] if closed else [])


def test_a_dividend_on_a_bar_that_is_missing_is_paid_on_the_next(replay, bars_of, tape_of):
    dividend = np.array([[0.0], [0.0], [1.5], [0.5], [0.25]])
    bars = bars_of({"A": [CALM, CALM, None, None, CALM]}, dividend=dividend)
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.5})), WHOLE, 10_000.0, None)
    assert ledger.cash.tolist() == [10_000.0, 5_000.0, 5_000.0, 5_000.0, 5_000.0 + 50 * 2.25]


def test_rule_4_nothing_fills_without_a_fresh_bar_and_nan_stays_out(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, None, (90.0, 91.0, 89.0, 90.0)], "B": [CALM] * 3})
    ledger = replay(bars, tape_of(bars, (1, {"A": (0.5, 99.5, NONE, NONE)})), WHOLE, 10_000.0, None)
    assert [(f.at, f.price) for f in ledger.fills] == [(bars.opens_at[2], 90.0)]
    assert ledger.equity[1] == 10_000.0


@pytest.mark.parametrize(
    "damaged", [(NONE, 101, 99, 100), (100, 101, 99, NONE), (100, 101, 0.0, 100), (100, float("inf"), 99, 100)]
)
def test_rule_4_a_damaged_bar_counts_as_missing(replay, bars_of, tape_of, damaged):
    bars = bars_of({"A": [CALM, CALM, damaged, (110.0, 110.0, 110.0, 110.0)]})
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.5}), (2, {"A": 0.0})), WHOLE, 10_000.0, None)
    assert ledger.equity.tolist() == [10_000.0, 10_000.0, 10_000.0, 10_500.0]
    assert ledger.fills[-1].at == bars.opens_at[3]
    assert np.isfinite(ledger.cash).all()


def test_rule_5_execution_is_moved_by_shifting_the_tape(replay, bars_of, tape_of):
    bars = bars_of({"A": [(10, 10, 10, 10), (20, 20, 20, 20), (30, 30, 30, 30), (40, 40, 40, 40)]})
    tape = tape_of(bars, (2, {"A": 0.5}))
    marks = np.array([10.0])
    prices = {s: replay(bars, tape.shift(bars, s), FREE, 100.0, marks).fills[0].price for s in (-1, 0, 1)}
    assert prices == {-1: 20.0, 0: 30.0, 1: 40.0}
    assert len(tape.shift(bars, 2)) == 0


def test_rule_6_slippage_is_never_lost_and_never_carries_a_limit_order_beyond_its_limit(replay, bars_of, tape_of):
    top = (100.0, 100.0, 99.0, 99.5)  # open == high: backtrader would drop the slippage here
    bars = bars_of({"A": [CALM, top], "B": [CALM, top], "C": [CALM, top]})
    rules = ExecutionRules(slippage_bps=100.0, whole_shares=True)
    tape = tape_of(bars, (1, {"A": 0.1, "B": (0.1, 100.25, NONE, NONE), "C": (0.1, 99.25, NONE, NONE)}))
    ledger = replay(bars, tape, rules, 10_000.0, None)
    # ten shares each: a full 1 % at market, 0.25 a share up to the limit, none when filled at the limit
    assert [(f.price, f.slippage) for f in ledger.fills] == [(100.0, 10.0), (100.0, 2.5), (99.25, 0.0)]


def test_rule_7_shorts_pay_borrow_on_market_value_and_need_margin(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (110, 110, 110, 110), (120, 120, 120, 120)]})
    rules = ExecutionRules(borrow_rate=0.252, whole_shares=True)
    ledger = replay(bars, tape_of(bars, (1, {"A": -5.0})), rules, 1_000.0, None)
    # half of the value must be equity: 20 shares, not 50; a session costs a thousandth of the value at the last close
    assert ledger.positions[1:, 0].tolist() == [-20.0, -20.0, -20.0]
    assert ledger.cash.tolist() == pytest.approx([1000.0, 3000.0, 3000.0 - 2.0, 3000.0 - 2.0 - 2.2], rel=1e-15)


def test_rule_7_a_margin_call_cuts_positions_before_equity_is_gone(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, (100, 100, 100, 100), (180, 180, 180, 180), (180, 180, 180, 180)]})
    tape = tape_of(bars, (1, {"A": -1.0}), (3, {"A": -1.0}))
    ledger = replay(bars, tape, FREE, 1_000.0, None)
    # 10 short at 100: equity 200 at 180 against 540 of maintenance; 200 carry 400 of position, 2/9 of 1800
    assert ledger.positions[:, 0] == pytest.approx([0.0, -10.0, -10.0, -10.0 * 2 / 9], rel=1e-12)
    assert [(f.why, f.order_id) for f in ledger.fills] == [("open", 0), ("margin_call", 0)]
    assert ledger.equity[-1] == pytest.approx(200.0)
    (refused,) = ledger.rejections
    assert (refused.why, refused.at, refused.got) == ("margin call", bars.opens_at[3], 0.0)
    assert ledger.orders[1].status == "rejected"


def test_rule_8_closing_cancels_the_siblings(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, CALM, (100.0, 120.0, 80.0, 100.0)]})
    tape = tape_of(bars, (1, {"A": (0.5, NONE, 90.0, 110.0)}), (2, {"A": 0.0}))
    ledger = replay(bars, tape, WHOLE, 10_000.0, None)
    assert [f.quantity for f in ledger.fills] == [50.0, -50.0]
    assert ledger.positions[-1, 0] == 0.0


def test_rule_8_an_exit_cancels_the_pending_order(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM, (100.0, 101.0, 85.0, 99.0), (100.0, 120.0, 60.0, 100.0)]})
    tape = tape_of(bars, (1, {"A": (0.5, NONE, 90.0, NONE)}), (2, {"A": (0.9, 70.0, 90.0, NONE)}))
    ledger = replay(bars, tape, WHOLE, 10_000.0, None)
    assert [(f.quantity, f.why) for f in ledger.fills] == [(50.0, "open"), (-50.0, "stop")]
    assert [o.status for o in ledger.orders] == ["filled", "cancelled"]


@pytest.mark.parametrize(("rules", "shares"), [(FREE, 100 / 3), (WHOLE, 33.0)])
def test_rule_9_sizes_are_fractional_or_whole_as_the_rules_say(replay, bars_of, tape_of, rules, shares):
    bars = bars_of({"A": [CALM, CALM]})
    ledger = replay(bars, tape_of(bars, (1, {"A": 1 / 3})), rules, 10_000.0, None)
    assert ledger.positions[-1, 0] == pytest.approx(shares, rel=1e-14)


def test_rule_10_symbols_may_start_late_and_orders_left_at_the_end_are_open(replay, bars_of, tape_of):
    bars = bars_of({"EARLY": [CALM] * 4, "LATE": [None, None, CALM, CALM], "NEVER": [None] * 4})
    tape = tape_of(
        bars, (1, {"EARLY": 0.2, "LATE": 0.2}), (3, {"LATE": 0.2, "NEVER": 0.2, "EARLY": (0.5, 10.0, NONE, NONE)})
    )
    ledger = replay(bars, tape, WHOLE, 10_000.0, None)
    assert [(f.symbol, f.at) for f in ledger.fills] == [("EARLY", bars.opens_at[1]), ("LATE", bars.opens_at[3])]
    assert [(r.symbol, r.order_id, r.why) for r in ledger.rejections] == [
        ("LATE", -1, "no price yet"),
        ("NEVER", -1, "no price yet"),
    ]
    assert {o.symbol: o.status for o in ledger.orders} == {"EARLY": "open", "LATE": "filled"}


def test_rule_11_the_feed_takes_whole_arrays_and_keeps_only_bars_there_are(bars_of):
    from simulator.replay.backtrader_feed import bt, clock, feeds

    bars = bars_of({"A": [CALM, None, (90.0, 91.0, 89.0, 90.5)], "B": [CALM] * 3})
    seen: list[tuple[int, int, int, float]] = []

    class Watch(bt.Strategy):
        def next(self) -> None:
            watch, a, b = self.datas
            seen.append((len(watch), len(a), len(b), a.close[0]))

    cerebro = bt.Cerebro(stdstats=False)
    for feed in (clock(bars), *feeds(bars)):
        cerebro.adddata(feed)
    cerebro.addstrategy(Watch)
    cerebro.run()
    assert seen == [(1, 1, 1, 100.0), (2, 1, 2, 100.0), (3, 2, 3, 90.5)]


def test_decisions_after_the_last_open_are_not_carried_out(replay, bars_of):
    bars = bars_of({"A": [CALM, CALM]})
    late = Tape(bars.closes_at[1:2], bars.symbols, *([np.array([[0.5]])] + [np.array([[NONE]])] * 3))
    assert replay(bars, late, WHOLE, 10_000.0, None).orders == ()


def test_a_decision_made_within_a_bar_waits_for_the_next_open(replay, bars_of):
    bars = bars_of({"A": [CALM, CALM, (105.0, 106.0, 104.0, 105.0)]})
    within = Tape(bars.opens_at[1:2] + 1_000, bars.symbols, *([np.array([[0.5]])] + [np.array([[NONE]])] * 3))
    (fill,) = replay(bars, within, WHOLE, 10_000.0, None).fills
    assert (fill.at, fill.price) == (bars.opens_at[2], 105.0)
