"""Inference on a Sharpe ratio: standard errors, tests, and the deflation that selection calls for.

Conventions as in `metrics`. Functions that take returns work on excess returns e = r − rf and give annual figures
(times √P); functions that take a Sharpe ratio and a number of sessions say *per session* where they mean it.
Skew and kurtosis are moments (a normal distribution has 0 and 3).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import UsageError
from simulator.numerics import dot
from simulator.stats.bootstrap import DRAWS, Interval, IntervalAndBand, interval_and_band
from simulator.stats.distributions import chi2_sf, normal_cdf, normal_quantile
from simulator.stats.hac import mean_error, newey_west_lag, sharpe_influence
from simulator.stats.metrics import ENOUGH_SESSIONS, PERIODS, Summary, kurtosis, sharpe, skew
from simulator.stats.power import detectable_sharpe
from simulator.stats.series import Floats, Measure, Undefined, as_series, excess_over, finite_or, is_constant, split

EULER = 0.5772156649015329
FEWEST = 10
"""Sessions below which no inference is attempted."""

Revision = Literal["2012", "2025"]


def sharpe_error(
    returns: ArrayLike, risk_free: ArrayLike | float = 0.0, periods: float = PERIODS, *, lag: int | None = None
) -> Measure:
    """GMM standard error of the annual Sharpe ratio, robust to autocorrelation, skew and fat tails.

    √P times the HAC standard error of the mean of z − SR·(z² − 1)/2, z = (e − mean)/sd with ddof 0; Bartlett weights
    up to `lag` (None: `newey_west_lag`; 0 gives Mertens's iid form). Sources: Lo (2002), Mertens (2002).
    """
    e = excess_over(returns, risk_free)
    missing = _too_little(e)
    if missing is not None:
        return missing
    return mean_error(sharpe_influence(e), newey_west_lag(e.size) if lag is None else lag) * math.sqrt(periods)


def sharpe_variance_iid(sharpe: float, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Variance of √T times an estimated Sharpe ratio per session, of independent returns: 1 − γ₃·SR + (γ₄ − 1)/4·SR².

    1 + SR²/2 for normal returns. Sources: Lo (2002), Mertens (2002). Too small under autocorrelation, where tests with
    it over-reject; `sharpe_error` does not. It may come out negative for moments no distribution has.
    """
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2


def sharpe_p(returns: ArrayLike, risk_free: ArrayLike | float = 0.0, *, lag: int | None = None) -> Measure:
    """One-sided p-value of "the Sharpe ratio is 0 or less": mean(e) over its Newey-West (1987) error, normal.

    Where the Sharpe ratio is 0 its error is that of the mean alone, so this is the test at the null. `lag` None takes
    `newey_west_lag`.
    """
    e = excess_over(returns, risk_free)
    missing = _too_little(e)
    if missing is not None:
        return missing
    error = mean_error(e, newey_west_lag(e.size) if lag is None else lag)
    return normal_cdf(-float(e.mean()) / error) if error > 0.0 else Undefined("the long-run variance is 0")


def autocorrelations(series: ArrayLike, lags: int) -> Floats | Undefined:
    """Return (lags,) sample autocorrelations ρ₁ … ρ_lags, divided by n and by the variance of the whole series."""
    x = as_series(series)
    if is_constant(x) or lags >= x.size:
        return Undefined("returns do not vary" if is_constant(x) else f"{x.size} sessions have no lag {lags}")
    centred = x - x.mean()
    products = np.array([dot(centred[k:], centred[:-k]) for k in range(1, lags + 1)])
    return products / dot(centred, centred)


def ljung_box(series: ArrayLike, lags: int = 10) -> Measure:
    """P-value of "no autocorrelation up to `lags`". Source: Ljung & Box (1978)."""
    statistic = ljung_box_statistic(series, lags)
    return statistic if isinstance(statistic, Undefined) else chi2_sf(statistic, lags)


def ljung_box_statistic(series: ArrayLike, lags: int = 10) -> Measure:
    """Statistic n(n + 2) Σ ρₖ²/(n − k), chi-squared with `lags` degrees of freedom under independence."""
    rho, n = autocorrelations(series, lags), as_series(series).size
    if isinstance(rho, Undefined):
        return rho
    return float(n * (n + 2) * np.sum(rho**2 / (n - np.arange(1, lags + 1))))


def eta(series: ArrayLike, q: int) -> Measure:
    """Lo's factor η(q) = q/√(q + 2Σₖ(q − k)ρₖ): annual SR = η · SR per session, in place of √q.

    Source: Lo (2002), eq. 20. Undefined when the history is shorter than 2q: the sample autocorrelations of a series
    sum to −½, and η of its whole length is infinite whatever the returns; `eta_ar1` needs only ρ₁.
    """
    n = as_series(series).size
    if n < 2 * q:
        return Undefined(f"needs autocorrelations up to lag {q - 1}, and so twice {q} sessions; there are {n}")
    if q < 2:
        return 1.0
    rho = autocorrelations(series, q - 1)
    if isinstance(rho, Undefined):
        return rho
    variance = q + 2.0 * float(np.sum((q - np.arange(1, q)) * rho))
    return q / math.sqrt(variance) if variance > 0.0 else Undefined("the estimated variance of a year is negative")


def eta_ar1(rho: float, q: int) -> float:
    """Lo's factor η(q) of AR(1) returns with first autocorrelation `rho`, |rho| < 1. Source: Lo (2002), eq. 23."""
    if not abs(rho) < 1.0:
        raise UsageError(f"a first autocorrelation of {rho:g} is not possible", mend="take a number inside -1 … 1")
    inner = 1.0 + 2.0 * rho / (1.0 - rho) * (1.0 - (1.0 - rho**q) / (q * (1.0 - rho)))
    return math.sqrt(q / inner)


def probabilistic_sharpe(
    sharpe: float,
    sessions: int,
    reference: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    revision: Revision = "2012",
) -> Measure:
    """Probabilistic Sharpe ratio (PSR): the probability that the true one exceeds `reference`; per session, ddof 1.

    "2012": Φ((SR − SR₀)·√(T−1) / √(1 − γ₃SR + (γ₄−1)/4·SR²)), the variance at the observed SR
    (Bailey & López de Prado 2012). "2025": the variance at SR₀, and T for T − 1 (López de Prado, Lipton & Zoonekynd
    2025). The first is used throughout, and named where it is shown.
    """
    variance = sharpe_variance_iid(sharpe if revision == "2012" else reference, skew, kurtosis)
    n = sessions - 1 if revision == "2012" else sessions
    if variance <= 0.0 or n < 1:
        return Undefined("the variance of the Sharpe ratio is not positive for this skew and kurtosis")
    return normal_cdf((sharpe - reference) * math.sqrt(n / variance))


def minimum_track_record(
    sharpe: float,
    reference: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    confidence: float = 0.95,
    revision: Revision = "2012",
) -> Measure:
    """Minimum track record: sessions until PSR reaches `confidence`. Sources and units as `probabilistic_sharpe`.

    "2012": 1 + (1 − γ₃SR + (γ₄−1)/4·SR²)·(z/(SR − SR₀))². "2025": the variance at SR₀, without the 1.
    """
    if sharpe <= reference:
        return Undefined("the Sharpe ratio is not above the one it is held against")
    at, extra = (sharpe, 1.0) if revision == "2012" else (reference, 0.0)
    variance = sharpe_variance_iid(at, skew, kurtosis)
    return finite_or(
        extra + variance * (normal_quantile(confidence) / (sharpe - reference)) ** 2, "longer than any history"
    )


def expected_maximum(trials: float) -> float:
    """Expected maximum of N = `trials` independent standard normals: (1 − γ)Φ⁻¹(1 − 1/N) + γΦ⁻¹(1 − 1/(Ne)); 0 for one.

    `trials` need not be whole (effective N). Source: Bailey, Borwein, López de Prado & Zhu (2014).
    """
    if trials < 1.0:
        raise UsageError(f"{trials:g} trials are not possible", mend="count at least the one that is looked at")
    if trials == 1.0:
        return 0.0
    high = normal_quantile(1.0 - 1.0 / trials)
    # Between one and two trials the approximation turns negative; choosing cannot make the expected best worse.
    return max((1.0 - EULER) * high + EULER * normal_quantile(1.0 - 1.0 / (trials * math.e)), 0.0)


def deflated_sharpe(
    sharpe: float, sessions: int, trials: float, trial_sd: float, skew: float = 0.0, kurtosis: float = 3.0
) -> Measure:
    """Deflated Sharpe ratio: PSR against the Sharpe ratio the best of `trials` would have shown without any skill.

    Everything per session: `sharpe` of the chosen trial and `trial_sd`, the standard deviation of the Sharpe
    ratios of all trials ever run. Source: Bailey & López de Prado (2014).
    """
    return probabilistic_sharpe(sharpe, sessions, expected_maximum(trials) * trial_sd, skew, kurtosis)


def minimum_backtest_length(trials: float, sharpe: float = 1.0) -> Measure:
    """Years below which the best of `trials` without skill is expected to show this annual Sharpe ratio.

    (E[max]/SR)². Source: Bailey, Borwein, López de Prado & Zhu (2014).
    """
    return (expected_maximum(trials) / sharpe) ** 2 if sharpe > 0.0 else Undefined("the Sharpe ratio is not positive")


def inference_summary(
    returns: ArrayLike,
    risk_free: ArrayLike | float = 0.0,
    periods: float = PERIODS,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
    drawn: IntervalAndBand | None = None,
) -> Summary:
    """Every figure of a report on one Sharpe ratio; undefined entries are None with their reason.

    `drawn` is its `interval_and_band` where that is known already.

    values : sharpe; sharpe_se_hac (annual); sharpe_p_hac and sharpe_p_iid (one-sided, SR ≤ 0; the second normal and
    without lags, to be shown beside the first only); sharpe_ci_low, sharpe_ci_high and block_length (stationary
    bootstrap, percentile); psr (2012 form, against 0); min_trl (sessions at 95 %); rho_1, ljung_box_p (10 lags); eta
    (Lo's η of a year), eta_ar1 (from ρ₁ alone) and sharpe_eta (annual SR by η, or by eta_ar1 where η is undefined);
    detectable_sharpe (annual SR found with 80 % power at this length, one-sided 5 %); years; max_drawdown_5,
    max_drawdown_50 and max_drawdown_95 (quantiles over bootstrap histories, deepest first).
    """
    e = excess_over(returns, risk_free)
    n = e.size
    drawn = drawn or interval_and_band(returns, risk_free, periods, level=level, draws=draws, seed=seed)
    measures: dict[str, Measure] = {
        "years": n / periods,
        "sharpe": sharpe(e, 0.0, periods),
        "sharpe_se_hac": sharpe_error(e, 0.0, periods),
        "sharpe_p_hac": sharpe_p(e),
        "sharpe_p_iid": sharpe_p(e, lag=0),
        **_bootstrap_figures(*drawn),
        **_probabilistic(e),
        **_dependence(e, periods),
        "detectable_sharpe": detectable_sharpe(n, periods),
    }
    values, reasons = split(measures)
    return Summary(values, reasons, n, n < ENOUGH_SESSIONS)


def _bootstrap_figures(interval: Interval | Undefined, band: tuple[float, ...] | Undefined) -> dict[str, Measure]:
    bounds = (
        (interval,) * 3 if isinstance(interval, Undefined) else (interval.low, interval.high, interval.block_length)
    )
    depths = (band,) * 3 if isinstance(band, Undefined) else band
    names = ("sharpe_ci_low", "sharpe_ci_high", "block_length", "max_drawdown_5", "max_drawdown_50", "max_drawdown_95")
    return dict(zip(names, (*bounds, *depths), strict=True))


def _probabilistic(e: Floats) -> dict[str, Measure]:
    missing = _too_little(e)
    g3, g4 = skew(e), kurtosis(e)
    if missing is not None or isinstance(g3, Undefined) or isinstance(g4, Undefined):
        return dict.fromkeys(("psr", "min_trl"), missing or Undefined("excess returns do not vary"))
    ratio = float(e.mean() / e.std(ddof=1))
    return {
        "psr": probabilistic_sharpe(ratio, e.size, 0.0, g3, g4),
        "min_trl": minimum_track_record(ratio, 0.0, g3, g4),
    }


def _dependence(e: Floats, periods: float) -> dict[str, Measure]:
    names = ("rho_1", "ljung_box_p", "eta", "eta_ar1", "sharpe_eta")
    missing = _too_little(e)
    rho = autocorrelations(e, 1)
    if missing is not None or isinstance(rho, Undefined):
        return dict.fromkeys(names, missing or Undefined("excess returns do not vary"))
    q = max(round(periods), 1)
    whole, simple = eta(e, q), eta_ar1(float(rho[0]), q)
    scale = simple if isinstance(whole, Undefined) else whole
    return {
        "rho_1": float(rho[0]),
        "ljung_box_p": ljung_box(e) if e.size > 10 else Undefined("fewer than 11 sessions"),
        "eta": whole,
        "eta_ar1": simple,
        "sharpe_eta": float(e.mean() / e.std(ddof=1)) * scale,
    }


def _too_little(e: Floats) -> Undefined | None:
    if e.size < FEWEST:
        return Undefined(f"fewer than {FEWEST} sessions")
    if is_constant(e):
        return Undefined("excess returns do not vary")
    return None
