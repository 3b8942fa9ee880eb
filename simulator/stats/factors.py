"""Regression of excess returns on the returns of factors, and the parts of the mean return that follow from it.

    e = α + Σ βₖ·fₖ + u      mean(e) = α + Σ βₖ·mean(fₖ)

Returns are simple, per session; factors are excess returns or returns of long/short portfolios.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.numerics import decompose, dot, matmul, products
from simulator.stats.distributions import normal_cdf
from simulator.stats.hac import bartlett_sum, newey_west_lag
from simulator.stats.series import Measure, Undefined, as_matrix, as_series, finite_or, is_constant

FEWEST = 60
"""Sessions below which no loading is given, as no figure a year is."""


@dataclass(frozen=True)
class Coefficient:
    """An estimate, its t with the HAC error, and the two-sided p of the normal distribution."""

    value: float
    t: Measure
    p: Measure


@dataclass(frozen=True)
class FactorModel:
    """OLS of excess returns on factors.

    Attributes
    ----------
    sessions, lag : n, and the lags of the Newey-West covariance
    alpha : the intercept, per session
    loadings : one for each factor, in their order
    contributions : loading × mean of the factor, per session
    mean : that of the excess returns, per session
    r_squared : 1 − Σu² / Σ(e − mean)²
    """

    sessions: int
    lag: int
    alpha: Coefficient
    loadings: tuple[Coefficient, ...]
    contributions: tuple[float, ...]
    mean: float
    r_squared: float


def factor_model(excess: ArrayLike, factors: ArrayLike) -> FactorModel | Undefined:
    """Return the regression of `excess` (n,) on a constant and `factors` (n, K).

    Errors are Newey & West's (1987): Bartlett weights, ⌊4(n/100)^(2/9)⌋ lags, no small-sample factor. Undefined
    below 60 sessions, for returns that do not vary, and for factors that depend on each other or on a constant.
    Raises DataError where the lengths differ.
    """
    e, f = as_series(excess, "excess"), as_matrix(factors, "factors")
    if len(f) != e.size:
        raise DataError(f"factors have {len(f)} sessions, returns {e.size}", mend="align both by session")
    if e.size < FEWEST:
        return Undefined(f"{e.size} sessions in common with the factors, {FEWEST} are needed")
    if is_constant(e):
        return Undefined("returns do not vary")
    # In units of its own, so that a small factor is not taken for rounding beside the constant.
    unit = np.abs(f).max(axis=0)
    if not unit.all():
        return Undefined("a factor is 0 throughout")
    left, squares, right = decompose(np.column_stack([np.ones(e.size), f / unit]))
    if not squares.all():
        return Undefined("the factors do not vary independently of each other")
    # Rows of (X'X)⁻¹X': the coefficients are its product with e, and its product with u has their variance.
    influence = matmul(left / squares, right.T.copy())
    influence[:, 1:] /= unit
    found = products(influence, e[:, None])[:, 0]
    residual = e - found[0] - (f * found[1:]).sum(axis=1)
    lag, spread = newey_west_lag(e.size), e - e.mean()
    exact = is_constant(residual)
    scores = influence * residual[:, None]
    estimates = [
        _coefficient(value, 0.0 if exact else math.sqrt(bartlett_sum(scores[:, k], lag)))
        for k, value in enumerate(found.tolist())
    ]
    contributions = tuple(beta * float(f[:, k].mean()) for k, beta in enumerate(found[1:].tolist()))
    explained = 1.0 - dot(residual, residual) / dot(spread, spread)
    return FactorModel(e.size, lag, estimates[0], tuple(estimates[1:]), contributions, float(e.mean()), explained)


def _coefficient(value: float, error: float) -> Coefficient:
    exact = "the factors explain the returns exactly"
    if error == 0.0:
        return Coefficient(value, Undefined(exact), Undefined(exact))
    t = finite_or(value / error, exact)
    return Coefficient(value, t, t if isinstance(t, Undefined) else 2.0 * normal_cdf(-abs(t)))
