"""Factor regressions against statsmodels, and the parts of the mean return."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.errors import DataError
from simulator.stats.factors import FactorModel, factor_model
from simulator.stats.series import Undefined


def inputs(daily: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Excess returns and factors of a case of golden/factors.json."""
    market, spread = daily["bench"] - daily["rf"], daily["strat_b"] - daily["bench"]
    lagged = np.r_[0.0, market[:-1]]
    strategy, columns, rows = {
        "one": ("strat_a", [market], 1260),
        "two": ("strat_a", [market, spread], 1260),
        "three": ("strat_b", [market, 1e-4 * lagged, 100 * daily["rf"]], 1260),
        "few": ("strat_a", [market, spread, lagged], 60),
        "some": ("strat_b", [market, lagged], 333),
    }[name]
    return (daily[strategy] - daily["rf"])[:rows], np.column_stack(columns)[:rows]


@pytest.mark.parametrize("name", ["one", "two", "three", "few", "some"])
def test_loadings_errors_and_fit_agree_with_statsmodels(name, daily, expected):
    e, f = inputs(daily, name)
    got, want = factor_model(e, f), expected("factors")["cases"][name]
    assert isinstance(got, FactorModel)
    assert (got.sessions, got.lag) == (want["sessions"], want["lag"])
    estimates = (got.alpha, *got.loadings)
    for key, values in (
        ("params", [one.value for one in estimates]),
        ("t", [one.t for one in estimates]),
        ("p", [one.p for one in estimates]),
        ("r_squared", [got.r_squared]),
    ):
        np.testing.assert_allclose(values, np.atleast_1d(want[key]), rtol=1e-9, atol=1e-14, err_msg=key)
    assert math.fsum((got.alpha.value, *got.contributions)) == pytest.approx(got.mean, abs=1e-15)


def test_what_cannot_be_told_apart_is_undefined_with_its_reason(daily):
    e, f = inputs(daily, "two")
    assert factor_model(e[:59], f[:59]) == Undefined("59 sessions in common with the factors, 60 are needed")
    assert factor_model(np.full(99, 1e-4), f[:99]) == Undefined("returns do not vary")
    alike = Undefined("the factors do not vary independently of each other")
    assert factor_model(e, np.column_stack([f[:, 0], 2 * f[:, 0]])) == alike
    assert factor_model(e, np.column_stack([f[:, 0], np.full(e.size, 3e-4)])) == alike
    assert factor_model(e, np.zeros((e.size, 1))) == Undefined("a factor is 0 throughout")
    with pytest.raises(DataError, match="sessions"):
        factor_model(e, f[1:])


def test_a_factor_itself_has_a_loading_of_one_and_nothing_left(daily):
    _, f = inputs(daily, "two")
    found = factor_model(f[:, 0], f)
    assert isinstance(found, FactorModel)
    assert [one.value for one in found.loadings] == pytest.approx([1.0, 0.0], abs=1e-12)
    assert found.alpha.t == Undefined("the factors explain the returns exactly")
    assert found.r_squared == pytest.approx(1.0)
