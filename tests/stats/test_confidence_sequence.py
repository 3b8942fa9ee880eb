"""Confidence sequences: golden values, variance, size under daily looks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simulator.stats.confidence_sequence import (
    ALPHA,
    FIRST_LOOK,
    LAGS,
    anytime_test,
    confidence_sequence,
    mixture_scale,
    one_look,
    running_variance,
    sessions_to_find,
)
from simulator.stats.hac import long_run_variance
from simulator.stats.series import Undefined
from simulator.stats.skill import mean_test

REPLICATES = 2_000


def test_the_plain_form_equals_the_formula_of_the_paper(expected, daily) -> None:
    golden = expected("confidence_sequence")
    for name, rows in golden["series"].items():
        for row in rows:
            found = confidence_sequence(daily[name] - daily["rf"], row["t0"], golden["alpha"], lags=0)
            at = row["t"] - 1
            assert mixture_scale(row["t0"], golden["alpha"]) == pytest.approx(row["rho"], rel=1e-12)
            got = [found.mean[at], found.half_width[at], found.low[at], found.high[at], found.e_value[at]]
            want = [row[key] for key in ("mean", "half_width", "low", "high", "e_value")]
            assert got == pytest.approx(want, rel=1e-9)


def test_the_variance_after_each_session_is_that_of_newey_and_west_on_what_was_seen() -> None:
    x = np.random.default_rng(1).normal(size=(3, 200)) * 0.01 + 0.5
    found = running_variance(x)
    for t in (LAGS + 1, 10, 60, 200):
        assert found[:, t - 1] == pytest.approx([long_run_variance(row[:t], LAGS) for row in x], rel=1e-8)


def test_what_has_not_happened_yet_changes_nothing() -> None:
    x = np.random.default_rng(2).normal(size=300)
    later = x.copy()
    later[120:] = 9.0
    one, other = confidence_sequence(x), confidence_sequence(later)
    assert one.half_width[:120].tolist() == other.half_width[:120].tolist()
    assert one.e_value[:120].tolist() == other.e_value[:120].tolist()


def test_the_interval_leaves_zero_out_just_where_the_e_value_says_so() -> None:
    x = np.random.default_rng(3).normal(size=(200, 252)) + 0.15
    for alpha in (0.05, 0.01):
        found = confidence_sequence(x, alpha=alpha)
        assert ((found.low > 0) | (found.high < 0)).tolist() == (found.e_value > 1 / alpha).tolist()


def test_a_series_that_does_not_vary_says_nothing() -> None:
    found = confidence_sequence(np.full(100, 0.001))
    assert np.isinf(found.half_width).all()
    assert (found.e_value == 1.0).all()
    assert isinstance(one_look(np.full(100, 0.001)), Undefined)


def test_one_look_is_the_interval_of_the_verdicts_own_test() -> None:
    x = np.random.default_rng(4).normal(size=40) + 0.3
    low, high = one_look(x, alpha=2 * (p := mean_test(x).p_mean))
    assert low == pytest.approx(0.0, abs=1e-9)
    assert high > 0
    assert 0 < p < 0.5
    assert isinstance(one_look(x[:9]), Undefined)


def garch(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    shocks, out, variance = rng.standard_t(5, (n + 200, count)) / math.sqrt(5 / 3), [], np.ones(count)
    for shock in shocks:
        out.append(np.sqrt(variance) * shock)
        variance = 0.02 + 0.08 * out[-1] ** 2 + 0.9 * variance
    return np.array(out[200:]).T


def autoregressive(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    x = rng.normal(size=(count, n))
    for t in range(1, n):
        x[:, t] += 0.2 * x[:, t - 1]
    return x


@pytest.mark.medium
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n, count: rng.normal(size=(count, n)),
        lambda rng, n, count: rng.standard_t(4, (count, n)),
        autoregressive,
        garch,
    ],
    ids=["normal", "t4", "AR(1)", "GARCH-t"],
)
def test_looking_daily_from_session_sixty_on_finds_nothing_where_there_is_nothing(draw) -> None:
    """At most 5 %, and what chance takes of so many histories at 99 %."""
    d = draw(np.random.default_rng(5), 252, REPLICATES)
    found = confidence_sequence(d)
    outside = (np.abs(found.mean) > found.half_width)[:, FIRST_LOOK - 1 :].any(axis=1)
    assert outside.mean() <= ALPHA + 2.33 * math.sqrt(ALPHA * (1 - ALPHA) / REPLICATES)
    fixed = np.abs(found.mean) > 1.96 * np.sqrt(running_variance(d) / np.arange(1, 253))
    assert fixed[:, FIRST_LOOK - 1 :].any(axis=1).mean() > 0.15  # what an interval for one look does


def test_an_edge_is_found_in_the_sessions_it_is_said_to_take_four_times_in_five() -> None:
    ratio = 3.0 / math.sqrt(252)
    needed = int(sessions_to_find(ratio))
    above = confidence_sequence(np.random.default_rng(6).normal(size=(500, needed)) + ratio).low > 0
    assert above[:, -1].mean() == pytest.approx(0.8, abs=0.06)
    assert sessions_to_find(10.0) == FIRST_LOOK
    assert isinstance(sessions_to_find(0.0), Undefined)
    assert sessions_to_find(ratio, chance=0.9) > needed


def test_the_reward_of_a_change_of_level_is_taken_out_as_in_the_verdict() -> None:
    d = np.random.default_rng(7).normal(size=252) * 0.01 + 0.004
    plain, level = anytime_test(d), anytime_test(d, 0.0038)
    assert plain.p == pytest.approx(1 / plain.e_value)
    assert plain.p < 0.05 < level.p
    assert anytime_test(d, 1.0).p == 1.0
    assert anytime_test(-d).p == 1.0
    worse = anytime_test(-d)
    assert worse.p_worse == pytest.approx(0.5 / worse.e_value)
    assert anytime_test(-d, -0.0029).p_worse > worse.p_worse


@pytest.mark.parametrize("part", ["noise", "rare"])
def test_the_sizes_printed_beside_a_run_are_those_of_the_page(part: str) -> None:
    from simulator.analysis.anytime import RARE_LOSS

    page = (Path(__file__).parents[2] / "docs" / "anytime.md").read_text(encoding="utf-8")
    lines = page.partition(f"<!-- {part} -->")[2].partition("<!-- end")[0].splitlines()
    rows = {row[1].strip(): row[2:-1] for line in lines if line.count("|") > 2 for row in [line.split("|")]}
    if part == "noise":
        assert len(rows) > 8
        assert not any("!" in cell for row in rows.values() for cell in row)
    else:
        assert {name: float(rows[name][1]) for name in RARE_LOSS} == RARE_LOSS
