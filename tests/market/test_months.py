"""Digests of bars by month: what does not change them, and what does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from simulator.market.bars import Bars
from simulator.market.calendar import sessions
from simulator.market.load import load_bars
from simulator.market.months import days_alike, month_digests, returns_of, shared_keys

FIRST, FROM = date(2023, 1, 3), date(2018, 1, 2)


def bars_of(closes: np.ndarray, first: date = date(2022, 12, 1), symbol: str = "A") -> Bars:
    """Daily bars of one symbol with these closes, from `first` on."""
    days = sessions(first, date(2023, 12, 29)).session_of[: len(closes)]
    at = days * 86_400_000_000_000
    column = closes[:, None]
    zero = np.zeros_like(column)
    return Bars((symbol,), at + 1, at + 2, column, column, column, column, zero, zero, days, ("",))


def prices(count: int = 150, seed: int = 1) -> np.ndarray:
    moves = np.random.default_rng(seed).normal(0.0005, 0.012, count)
    return np.round(400 * np.cumprod(1 + moves), 2)


def common(one: Bars, other: Bars) -> int:
    """Months that two symbols have in common."""
    ours, theirs = (dict(shared_keys(month_digests(bars, FIRST))) for bars in (one, other))
    return len({month for key, (_, month) in ours.items() if key in theirs})


def test_a_month_has_three_digests_and_too_short_a_one_none() -> None:
    found = month_digests(bars_of(prices(90)), FIRST)
    assert list(found) == ["A"]
    first, *digests = found["A"]
    assert first == "2023-01"
    # The fifth month holds 7 sessions: enough for the returns, too few for their order.
    assert [len(digest.partition(".")[0]) for digest in digests] == [28, 28, 28, 8]
    # Behind the point two letters a return of each second weekday.
    assert [len(digest.partition(".")[2]) for digest in digests] == [22, 20, 22, 0]
    assert month_digests(bars_of(np.full(60, 7.0)), FIRST)["A"] == ["2023-01", "", ""]
    assert month_digests(bars_of(prices(1)), FIRST)["A"] == ["2023-01"]


@pytest.mark.parametrize("scale", [10.0, 0.1, 1 / 3, 1e-4])
def test_a_name_and_a_scale_change_nothing(scale: float) -> None:
    own = bars_of(prices())
    assert month_digests(bars_of(prices() * scale, symbol="B"), FIRST)["B"] == month_digests(own, FIRST)["A"]


def test_prices_rescaled_and_rounded_again_still_share_months() -> None:
    own = bars_of(prices())
    assert common(own, bars_of(np.round(prices() * 0.5, 2))) >= 1
    assert common(own, bars_of(np.round(prices() * 2.5, 2))) >= 3


def test_what_was_cut_off_or_appended_leaves_the_other_months() -> None:
    own, whole = bars_of(prices(120)), common(bars_of(prices(120)), bars_of(prices(120)))
    assert common(own, bars_of(prices(140))) >= whole - 1
    later = sessions(date(2022, 12, 1), date(2023, 12, 29)).session_of[30].astype("datetime64[D]").astype(date)
    assert common(own, bars_of(prices(120)[30:], later)) >= whole - 1


def test_other_bars_share_no_month() -> None:
    own = bars_of(prices())
    reversed_sign = 400 * np.cumprod(1 - np.diff(prices(), prepend=prices()[0]) / prices())
    for other in (bars_of(prices(seed=2)), bars_of(reversed_sign)):
        assert (common(own, other), alike(own, other)) == (0, 0)


def thinned(bars: Bars, kept: np.ndarray) -> Bars:
    """`bars` without the sessions that are not `kept`."""
    times = {name: getattr(bars, name)[kept] for name in ("opens_at", "closes_at", "session_of", "dividend")}
    values = {name: getattr(bars, name)[kept] for name in ("open", "high", "low", "close", "volume")}
    return replace(bars, **times, **values, cash_return=np.empty(0))


def alike(one: Bars, other: Bars) -> int:
    """Days that two symbols have in common, where their returns are nearly the same."""
    ours, theirs = (returns_of(next(iter(month_digests(bars, FIRST).values()))) for bars in (one, other))
    return days_alike(ours, theirs)


@pytest.mark.parametrize("every", [3, 5])
def test_bars_without_every_fifth_session_are_nearly_the_same(every: int) -> None:
    own = bars_of(prices(250))
    other = thinned(own, np.arange(250) % every != every - 1)
    assert alike(own, other) >= 60
    assert alike(own, bars_of(prices(250, seed=2))) == 0


def test_prices_at_a_77th_in_cents_are_nearly_the_same() -> None:
    own, other = bars_of(prices(250)), bars_of(np.round(prices(250) / 77, 2))
    assert (common(own, other), alike(own, other) > 100) == (0, True)
    assert alike(bars_of(prices(70)), bars_of(np.round(prices(70) / 77, 2))) == 0, "too few days"


def test_what_is_kept_are_the_returns_of_every_second_weekday_in_four_digits() -> None:
    bars = bars_of(prices(60))
    days, kept = returns_of(month_digests(bars, FIRST)["A"])
    at = np.searchsorted(bars.session_of, days)
    assert np.array_equal(bars.session_of[at], days)
    assert not (days % 2).any()
    exact = 1e4 * (bars.close[at, 0] / bars.close[at - 1, 0] - 1)
    assert np.abs(kept - exact).max() <= 0.51
    assert len(days) >= 15


def test_markets_that_move_together_are_not_one_and_a_fund_and_its_index_are() -> None:
    rng = np.random.default_rng(4)
    index = rng.normal(0.0005, 0.01, 250)
    own = bars_of(np.round(400 * np.cumprod(1 + index), 2))
    for apart, same in ((0.0035, False), (0.0003, True)):
        other = index + rng.normal(0.0, apart, 250)
        assert bool(alike(own, bars_of(np.round(350 * np.cumprod(1 + other), 2)))) == same
        assert np.corrcoef(index, other)[0, 1] > 0.92


@pytest.mark.medium
def test_no_two_symbols_of_the_sample_are_one_market_in_any_half_year() -> None:
    symbols = ("AAPL", "BIL", "GLD", "NVDA", "QQQ", "SPY")
    bars = load_bars(symbols, Path(__file__).parents[2] / "data", first=FROM, last=date(2024, 12, 30)).bars
    kept = {symbol: returns_of(series) for symbol, series in month_digests(bars, FROM).items()}
    rounded = month_digests(replace(bars, close=np.round(bars.close / 77, 2)), FROM)
    for one, other in combinations(symbols, 2):
        for start in range(0, 880, 20):
            cut = [(days[start : start + 62], moves[start : start + 62]) for days, moves in (kept[one], kept[other])]
            assert days_alike(*cut) == 0, (one, other, start)
    assert {symbol for symbol in symbols if days_alike(kept[symbol], returns_of(rounded[symbol]))} == {"QQQ", "SPY"}


@pytest.mark.parametrize("change", ["a session later", "a quarter later", "no first session of a month", "no tenth"])
def test_sessions_left_out_and_dates_that_were_moved_are_no_other_market(change: str) -> None:
    own = bars_of(prices())
    months = own.dates.astype("datetime64[M]")
    kept = {
        "no first session of a month": np.r_[True, months[1:] == months[:-1]],
        "no tenth": np.arange(150) % 10 != 9,
    }.get(change)
    if kept is None:
        assert common(own, bars_of(prices(), date(2022, 12, 2) if "session" in change else date(2023, 3, 1))) >= 3
        return
    assert common(own, thinned(own, kept)) >= 1


def test_returns_as_those_of_cash_are_nobodys() -> None:
    rates = [np.random.default_rng(seed).integers(0, 4, 150) / 1e4 for seed in (1, 2)]
    one, other = (bars_of(100 * np.cumprod(1 + rate), first) for rate, first in
                  zip(rates, (date(2022, 12, 1), date(2022, 12, 2)), strict=True))  # fmt: skip
    assert {len(digest) for digest in month_digests(one, FIRST)["A"][1:4]} == {16}
    assert (common(one, other), alike(one, other)) == (0, 0)


def test_digests_of_earlier_versions_still_meet_those_of_now() -> None:
    now = month_digests(bars_of(prices()), FIRST)["A"]
    earlier = {"B": [now[0], *(digest[:16] for digest in now[1:])]}
    ours = dict(shared_keys({"A": now}))
    assert len({ours[key][1] for key, _ in shared_keys(earlier)}) == len(now) - 1


def test_minutes_have_the_months_of_their_sessions_last_closes() -> None:
    daily = bars_of(prices(60))
    twice = {name: np.repeat(getattr(daily, name), 2, axis=0) for name in ("open", "high", "low", "close", "volume")}
    twice["close"][::2] *= 1.01
    at = np.repeat(daily.opens_at, 2) + np.tile([0, 2], 60)
    minutes = replace(
        daily, opens_at=at, closes_at=at + 1, dividend=np.zeros((120, 1)), session_of=np.repeat(daily.session_of, 2),
        cash_return=np.empty(0), frequency="1min", **twice,
    )  # fmt: skip
    assert month_digests(minutes, FIRST) == month_digests(daily, FIRST)


def test_sessions_without_a_bar_of_its_own_change_nothing() -> None:
    one = bars_of(prices(60))
    gap = np.insert(prices(60), 10, np.nan)
    other = bars_of(gap)
    days = np.insert(one.session_of, 10, one.session_of[9])
    assert month_digests(replace(other, session_of=days, cash_return=np.empty(0)), FIRST) == month_digests(one, FIRST)
