from __future__ import annotations

from datetime import date

import numpy as np

from simulator.market.calendar import sessions
from simulator.market.quality import check
from simulator.market.sources.synthetic import UNIVERSE, fetch, synthetic_bars

DECADE = (date(2010, 1, 1), date(2019, 12, 31))


def test_a_seed_gives_the_same_bars_in_every_process_and_on_every_platform() -> None:
    bars = synthetic_bars(["AAA", "BBB"], *DECADE, seed=7)
    assert bars.digest == "03f8f34a571a100ef76f3cad4cb90b83ba5513baf68c2a67e981f2c34a4808ba"


def test_other_seeds_and_other_symbols_give_other_bars() -> None:
    assert synthetic_bars(["AAA"], *DECADE, seed=8).digest != synthetic_bars(["AAA"], *DECADE, seed=7).digest
    both = synthetic_bars(["AAA", "BBB"], *DECADE, seed=7)
    assert (both.close[:, 0] != both.close[:, 1]).all()


def test_a_symbol_is_the_same_alone_and_in_company_and_whatever_comes_later() -> None:
    both = synthetic_bars(["AAA", "BBB"], *DECADE, seed=7)
    alone = synthetic_bars(["BBB"], DECADE[0], date(2015, 6, 30), seed=7)
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(both, name)[: len(alone), 1], getattr(alone, name)[:, 0])


def test_they_are_always_labelled() -> None:
    assert synthetic_bars(["AAA", "SPY"], *DECADE, seed=7).sources == ("synthetic, seed 7", "synthetic, seed 7")
    assert {table.source for table in fetch(["SPY"], *DECADE, seed=0)} == {"synthetic, seed 0"}


def test_nothing_is_wrong_with_them() -> None:
    for seed in range(5):
        assert check(synthetic_bars(["AAA", "BBB", "CCC"], *DECADE, seed=seed)) == []


def test_they_move_like_markets_do_calm_and_wild_times_taking_turns_together() -> None:
    bars = synthetic_bars([f"S{n}" for n in range(12)], *DECADE, seed=7)
    daily = np.diff(np.log(bars.close), axis=0)
    yearly = daily.std(0) * np.sqrt(252)
    assert 0.10 < yearly.min() < yearly.max() < 0.60
    correlation = np.corrcoef(daily.T)[np.triu_indices(12, 1)]
    assert 0.1 < correlation.min() < correlation.max() < 0.95
    excess = (daily**4).mean(0) / (daily**2).mean(0) ** 2 - 3
    assert (excess > 0.5).all()


def test_the_universe_has_24_symbols_in_8_sectors_that_move_together() -> None:
    assert len(UNIVERSE) == 24
    assert len(set(UNIVERSE.values())) == 8
    bars = synthetic_bars([*UNIVERSE], date(2023, 1, 1), date(2024, 12, 31), seed=7)
    daily = np.diff(np.log(bars.close), axis=0)
    own = daily - daily.mean(1, keepdims=True)
    correlation = np.corrcoef(own.T)
    sectors = np.array([*UNIVERSE.values()])
    same = (sectors[:, None] == sectors) & ~np.eye(24, dtype=bool)
    assert correlation[same].mean() > correlation[sectors[:, None] != sectors].mean() + 0.2


def test_intraday_bars_fill_each_session_from_the_open_to_the_close_of_its_daily_bar() -> None:
    span = (date(2024, 11, 25), date(2024, 12, 2))  # with a half-day
    for every, whole, half in (("30min", 13, 7), ("5min", 78, 42)):
        (daily,), (bars,) = (fetch(["SYN-TECH-1"], *span, seed=7, every=one) for one in ("1d", every))
        assert check(bars) == []
        on = sessions(*span)
        for n, day in enumerate(on.session_of):
            inside = bars.session_of == day
            assert inside.sum() == (half if on.closes_at[n] - on.opens_at[n] < 6 * 3600e9 else whole)
            assert (bars.open[inside][0], bars.close[inside][-1]) == (daily.open[n], daily.close[n])
            assert abs(bars.volume[inside].sum() - daily.volume[n]) < 100
            assert (bars.open[inside][1:] == bars.close[inside][:-1]).all()
