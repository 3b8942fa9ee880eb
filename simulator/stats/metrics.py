"""Performance and risk of one return series.

Conventions, unless a function says otherwise: r are simple net returns per session, flat sessions included;
e = r − rf; P = `periods` sessions a year (252 for daily bars). Losses are negative: a drawdown of -0.084 lost 8.4 %,
a var_95 of -0.02 is a session that lost 2 %. Functions return a float, or `Undefined` with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from simulator.numerics import correlation as pearson
from simulator.numerics import power
from simulator.stats.drawdowns import Drawdown, max_drawdown, max_drawdown_sessions, path, ulcer, worst_drawdown
from simulator.stats.hac import newey_west_lag, regression_on_one
from simulator.stats.series import (
    Floats,
    Measure,
    Undefined,
    align,
    as_matrix,
    as_series,
    excess_over,
    finite_or,
    is_constant,
    split,
    standard_deviation,
)
from simulator.stats.trades import TRADE_STATISTICS, trade_statistics

PERIODS = 252
ENOUGH_SESSIONS = 60
"""Below this many sessions reports and verdicts withhold annualised figures."""


@dataclass(frozen=True)
class Summary:
    """Named statistics of one return series.

    Attributes
    ----------
    values : name → value, None where undefined
    reasons : name → why it is None; exactly the names whose value is None
    sessions : number of returns
    annualised_withheld : fewer than 60 sessions: a report shows no figure that speaks of a year
    drawdown : the deepest drawdown with its dates as positions; None when the path never fell or does not compound
    """

    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    sessions: int = 0
    annualised_withheld: bool = False
    drawdown: Drawdown | None = None


def total_return(returns: ArrayLike) -> Measure:
    """Compounded return ∏(1 + r) − 1. A loss of everything is -1."""
    value = path(returns)
    return value if isinstance(value, Undefined) else float(value[-1] - 1.0)


def annual_return(returns: ArrayLike, periods: float = PERIODS) -> Measure:
    """mean(r)·P, arithmetic. Source: Bacon (2008)."""
    return finite_or(float(np.mean(as_series(returns))) * periods, "the mean return is too large to represent")


def cagr(returns: ArrayLike, periods: float = PERIODS) -> Measure:
    """Annual growth ∏(1 + r)^(P/n) − 1, years counted in sessions, not in calendar days. Source: Bacon (2008)."""
    value = path(returns)
    if isinstance(value, Undefined):
        return value
    return finite_or(power(value[-1], periods / (value.size - 1)) - 1.0, "too large to represent over a year")


def volatility(returns: ArrayLike, periods: float = PERIODS) -> Measure:
    """sd(r, ddof 1)·√P; 0.0 for constant returns, undefined for one observation."""
    spread = standard_deviation(as_series(returns))
    return spread if isinstance(spread, Undefined) else spread * float(np.sqrt(periods))


def sharpe(returns: ArrayLike, risk_free: ArrayLike | float = 0.0, periods: float = PERIODS) -> Measure:
    """mean(e) / sd(e, ddof 1) · √P. Source: Sharpe (1994).

    The denominator is the sd of the excess returns, not of the raw ones; the mean is arithmetic. Undefined when the
    excess returns do not vary, and for one observation.
    """
    return _annual_ratio(excess_over(returns, risk_free), periods, "excess returns do not vary")


def sortino(returns: ArrayLike, risk_free: ArrayLike | float = 0.0, periods: float = PERIODS) -> Measure:
    """mean(e) / √mean(min(e, 0)²) · √P, the mean of squares over all n sessions. Source: Sortino & van der Meer (1991).

    Undefined when no excess return is below 0, and when the excess returns do not vary.
    """
    e = excess_over(returns, risk_free)
    if is_constant(e):
        return Undefined("excess returns do not vary" if e.size > 1 else "one observation has no spread")
    downside = float(np.sqrt(np.mean(np.minimum(e, 0.0) ** 2)))
    if downside == 0.0:
        return Undefined("no session fell short of the risk-free return")
    return finite_or(float(np.mean(e)) / downside * float(np.sqrt(periods)), "the shortfall is too small to divide by")


def calmar(returns: ArrayLike, periods: float = PERIODS) -> Measure:
    """CAGR / |max drawdown| over the whole history given. Source: Young (1991), who used 36 months."""
    growth, depth = cagr(returns, periods), max_drawdown(returns)
    if isinstance(growth, Undefined) or isinstance(depth, Undefined):
        return growth if isinstance(growth, Undefined) else depth
    if depth == 0.0:
        return Undefined("there was no drawdown")
    return finite_or(growth / -depth, "the drawdown is too small to divide by")


def omega(returns: ArrayLike, threshold: float = 0.0) -> Measure:
    """Ratio Σ(r − L)⁺ / Σ(L − r)⁺ with the threshold L per session. Source: Keating & Shadwick (2002)."""
    gap = as_series(returns) - threshold
    below = float(-np.minimum(gap, 0.0).sum())
    if below == 0.0:
        return Undefined("no session fell below the threshold")
    return finite_or(float(np.maximum(gap, 0.0).sum()) / below, "the shortfall is too small to divide by")


def value_at_risk(returns: ArrayLike, level: float = 0.95) -> Measure:
    """The (1 − level) quantile of r, historical; -0.02 is a loss of 2 %. Type 7 of Hyndman & Fan (1996), linear."""
    return float(np.quantile(as_series(returns), 1.0 - level))


def expected_shortfall(returns: ArrayLike, level: float = 0.95) -> Measure:
    """mean(r | r ≤ VaR), historical, negative for a loss. Source: Acerbi & Tasche (2002)."""
    r = as_series(returns)
    return float(np.mean(r[r <= np.quantile(r, 1.0 - level)]))


def tail_ratio(returns: ArrayLike) -> Measure:
    """q95 / |q05| of r, quantiles of type 7. Undefined when the lower quantile is not a loss."""
    low, high = np.quantile(as_series(returns), (0.05, 0.95))
    if low >= 0.0:
        return Undefined("the 5 % quantile is not a loss")
    return finite_or(float(high / -low), "the lower quantile is too small to divide by")


def skew(returns: ArrayLike) -> Measure:
    """m₃ / m₂^1.5, central moments divided by n; 0 for the normal distribution."""
    return _standardised_moment(as_series(returns), 3)


def kurtosis(returns: ArrayLike) -> Measure:
    """m₄ / m₂², central moments divided by n, **not** excess: 3 for the normal distribution."""
    return _standardised_moment(as_series(returns), 4)


def information_ratio(returns: ArrayLike, benchmark: ArrayLike, periods: float = PERIODS) -> Measure:
    """mean(r − b) / sd(r − b, ddof 1) · √P, annualised and arithmetic. Source: Goodwin (1998)."""
    r = as_series(returns)
    return _annual_ratio(
        r - align(benchmark, r.size, "benchmark"), periods, "returns differ from the benchmark by a constant"
    )


def tracking_error(returns: ArrayLike, benchmark: ArrayLike, periods: float = PERIODS) -> Measure:
    """sd(r − b, ddof 1)·√P."""
    r = as_series(returns)
    return volatility(r - align(benchmark, r.size, "benchmark"), periods)


def correlation(returns: ArrayLike, benchmark: ArrayLike) -> Measure:
    """Pearson's correlation of two series of the same sessions."""
    r = as_series(returns)
    b = align(benchmark, r.size, "benchmark")
    if r.size < 2 or is_constant(r) or is_constant(b):
        return Undefined("one of the two series does not vary")
    return pearson(r, b)


def alpha_beta(
    returns: ArrayLike, benchmark: ArrayLike, risk_free: ArrayLike | float = 0.0, periods: float = PERIODS
) -> dict[str, Measure]:
    """`alpha`, `beta` and `alpha_t` of the OLS regression of excess returns on excess benchmark returns.

    alpha = intercept·P, not compounded; alpha_t is its t with the Newey-West (1987) covariance, Bartlett weights,
    ⌊4(n/100)^(2/9)⌋ lags, no small-sample factor. Source: Jensen (1968).
    """
    e = excess_over(returns, risk_free)
    market = align(benchmark, e.size, "benchmark") - align(risk_free, e.size, "risk_free")
    if e.size < 3:
        return dict.fromkeys(("alpha", "beta", "alpha_t"), Undefined("a regression needs three observations"))
    if is_constant(market):
        return dict.fromkeys(("alpha", "beta", "alpha_t"), Undefined("the benchmark's excess returns do not vary"))
    line = regression_on_one(e, market, newey_west_lag(e.size))
    exact = is_constant(e - line.slope * market)
    t: Measure = Undefined("the benchmark explains the returns exactly")
    if not exact:
        t = finite_or(line.intercept / line.intercept_error, "the standard error of alpha is 0")
    return {"alpha": line.intercept * periods, "beta": line.slope, "alpha_t": t}


def turnover(weights: ArrayLike, periods: float = PERIODS) -> Measure:
    """Turnover Σ|Δw| / 2 a year, of weights at each close, (T, N); before the first session everything is 0.

    The cash column is the caller's choice: without it, going from cash to fully invested counts one half. Drift
    counts as change; where the traded amounts are known, `turnover_of_trades` does not have that flaw.
    """
    w = as_matrix(weights, "weights")
    moved = np.abs(np.diff(w, axis=0, prepend=np.zeros((1, w.shape[1])))).sum()
    return float(moved) / 2.0 / len(w) * periods


def turnover_of_trades(traded: ArrayLike, periods: float = PERIODS) -> Measure:
    """Turnover Σ traded / 2 a year, without drift: `traded` (T,) = Σ|shares · price| / equity of a session's fills."""
    return float(np.mean(np.abs(as_series(traded, "traded")))) / 2.0 * periods


def exposure(weights: ArrayLike) -> Measure:
    """Mean over sessions of the gross weight Σ|w|, (T, N), from positions; 1.0 is fully invested, 2.0 is 100/100."""
    return float(np.mean(np.abs(as_matrix(weights, "weights")).sum(axis=1)))


def summary(
    returns: ArrayLike,
    risk_free: ArrayLike | float = 0.0,
    benchmark: ArrayLike | None = None,
    periods: float = PERIODS,
    *,
    weights: ArrayLike | None = None,
    traded: ArrayLike | None = None,
    trades: ArrayLike | None = None,
) -> Summary:
    """Return every metric of one strategy; what cannot be computed is None with its reason.

    Parameters
    ----------
    returns : (n,) simple net returns per session
    risk_free : return per session, one number or (n,)
    benchmark : (n,) returns of the same sessions; None leaves alpha, beta, alpha_t and information_ratio undefined
    weights : (n, N) signed weights at each close, for exposure (and turnover, unless `traded` is given)
    traded : (n,) dollars traded / equity of each session, for turnover
    trades : (K,) profit or loss of each round trip, net of costs

    Errors: `DataError` for values that are NaN or infinite, or lengths that differ.
    """
    r = as_series(returns)
    measures: dict[str, Measure] = {
        "total_return": total_return(r),
        "annual_return": annual_return(r, periods),
        "cagr": cagr(r, periods),
        "volatility": volatility(r, periods),
        "sharpe": sharpe(r, risk_free, periods),
        "sortino": sortino(r, risk_free, periods),
        "max_drawdown": max_drawdown(r),
        "max_drawdown_sessions": max_drawdown_sessions(r),
        "calmar": calmar(r, periods),
        "ulcer": ulcer(r),
        "omega": omega(r),
        "var_95": value_at_risk(r),
        "cvar_95": expected_shortfall(r),
        "tail_ratio": tail_ratio(r),
        "skew": skew(r),
        "kurtosis": kurtosis(r),
        **_relative(r, risk_free, benchmark, periods),
        **_positions(weights, traded, periods),
        **_trading(trades),
    }
    values, reasons = split(measures)
    worst = worst_drawdown(r)
    return Summary(values, reasons, r.size, r.size < ENOUGH_SESSIONS, worst if isinstance(worst, Drawdown) else None)


def _relative(
    r: Floats, risk_free: ArrayLike | float, benchmark: ArrayLike | None, periods: float
) -> dict[str, Measure]:
    if benchmark is None:
        return dict.fromkeys(("alpha", "beta", "alpha_t", "information_ratio"), Undefined("no benchmark was given"))
    return {
        **alpha_beta(r, benchmark, risk_free, periods),
        "information_ratio": information_ratio(r, benchmark, periods),
    }


def _positions(weights: ArrayLike | None, traded: ArrayLike | None, periods: float) -> dict[str, Measure]:
    turned: Measure = Undefined("no positions were given")
    if traded is not None:
        turned = turnover_of_trades(traded, periods)
    elif weights is not None:
        turned = turnover(weights, periods)
    held = Undefined("no positions were given") if weights is None else exposure(weights)
    return {"turnover": turned, "exposure": held}


def _trading(trades: ArrayLike | None) -> dict[str, Measure]:
    if trades is None:
        return dict.fromkeys(TRADE_STATISTICS, Undefined("no trades were given"))
    return trade_statistics(trades)


def _annual_ratio(series: Floats, periods: float, constant: str) -> Measure:
    spread = standard_deviation(series)
    if isinstance(spread, Undefined):
        return spread
    if spread == 0.0:
        return Undefined(constant)
    return float(np.mean(series)) / spread * float(np.sqrt(periods))


def _standardised_moment(series: Floats, order: int) -> Measure:
    if series.size < 2 or is_constant(series):
        return Undefined("returns do not vary" if series.size > 1 else "one observation has no shape")
    centred = series - series.mean()
    centred /= np.max(np.abs(centred))
    square = centred * centred
    second = float(square.mean())
    if order == 3:
        return float((square * centred).mean()) / (second * float(np.sqrt(second)))
    return float((square * square).mean()) / (second * second)
