"""Power: the length of history an edge needs to show, and the edge that could show in the history at hand.

Sharpe ratios are annualised, lengths are sessions. The default question is that of a report: one series, one-sided
test at 5 %, 80 % power. A Sharpe ratio of 0.5 then needs 24.7 years, 1.0 needs 6.2, 2.0 needs 1.6.
"""

from __future__ import annotations

import math
from typing import Literal

from simulator.errors import UsageError
from simulator.stats.distributions import normal_cdf, normal_quantile, student_cdf, student_quantile
from simulator.stats.series import Measure, Undefined

Sides = Literal["one-sided", "two-sided"]


def power(
    sharpe: float, sessions: float, periods: float = 252, *, alpha: float = 0.05, sides: Sides = "one-sided"
) -> float:
    """Probability that a t-test at `alpha` finds a true annual Sharpe ratio, independent normal returns.

    Exact, by the noncentral t distribution with n − 1 degrees of freedom (Pav 2021, §4.3). Two-sided counts
    only rejections on the side of the true value.
    """
    if sessions <= 1:
        raise UsageError(f"a test on {sessions:g} sessions is not possible", mend="take at least 2")
    shift = math.sqrt(sessions / periods) * sharpe
    tail = alpha if sides == "one-sided" else alpha / 2.0
    return 1.0 - student_cdf(student_quantile(1.0 - tail, sessions - 1.0), sessions - 1.0, shift)


def sessions_needed(
    sharpe: float, periods: float = 252, *, chance: float = 0.8, alpha: float = 0.05, sides: Sides = "one-sided"
) -> Measure:
    """Sessions (not rounded) until `power` reaches `chance`; undefined for a Sharpe ratio that is not positive."""
    if sharpe <= 0.0:
        return Undefined("the Sharpe ratio is not positive: no length of history would show an edge")
    low = 1.0 + 1e-6
    # Four times what the normal approximation of the stricter two-sided test asks for is safely too much.
    z = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(max(chance, 0.5))
    high = max(z * z * (periods / sharpe**2 + 0.5), 4.0) * 4.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if power(sharpe, middle, periods, alpha=alpha, sides=sides) < chance:
            low = middle
        else:
            high = middle
        if high - low <= 1e-12 * high:
            break
    return 0.5 * (low + high)


def detectable_sharpe(sessions: int, periods: float = 252, *, chance: float = 0.8, alpha: float = 0.05) -> Measure:
    """Annual Sharpe ratio a one-sided test would find with probability `chance` in a history of this length.

    Normal approximation with the variance (1 + s²/2)/T of Lo (2002), s per session: s = z/√(T − z²/2).
    """
    z = normal_quantile(1.0 - alpha) + normal_quantile(chance)
    left = sessions - z * z / 2.0
    if left <= 0.0:
        return Undefined(f"{sessions} sessions are too few to find any edge")
    return z / math.sqrt(left) * math.sqrt(periods)


def sessions_to_tell_apart(
    first: float,
    second: float,
    correlation: float,
    periods: float = 252,
    *,
    chance: float = 0.8,
    alpha: float = 0.05,
    sides: Sides = "two-sided",
) -> Measure:
    """Sessions of paired history until a test at `alpha` tells two annual Sharpe ratios apart with `chance`.

    z²·[2 − 2ρ + ½(s₁² + s₂² − 2s₁s₂ρ²)] / (s₁ − s₂)², s per session (Jobson & Korkie 1981, Memmel 2003).
    """
    if first == second:
        return Undefined("the two Sharpe ratios are equal")
    z = normal_quantile(1.0 - (alpha if sides == "one-sided" else alpha / 2.0)) + normal_quantile(chance)
    return z * z * _pair_variance(first, second, correlation, periods) * periods / (first - second) ** 2


def detectable_difference(
    sessions: int,
    first: float,
    second: float,
    correlation: float,
    periods: float = 252,
    *,
    chance: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Difference of annual Sharpe ratios a two-sided paired test would find with probability `chance`.

    The variance is taken at the Sharpe ratios given.
    """
    z = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(chance)
    return z * math.sqrt(_pair_variance(first, second, correlation, periods) * periods / sessions)


def pair_power(
    sessions: int, first: float, second: float, correlation: float, periods: float = 252, *, alpha: float = 0.05
) -> float:
    """Probability that a two-sided paired test at `alpha` finds the difference, on the side it is on."""
    error = math.sqrt(_pair_variance(first, second, correlation, periods) * periods / sessions)
    return normal_cdf(abs(first - second) / max(error, 1e-300) - normal_quantile(1.0 - alpha / 2.0))


def _pair_variance(first: float, second: float, correlation: float, periods: float) -> float:
    """Variance of √T·(difference of the per-session Sharpe ratios)."""
    a, b = first / math.sqrt(periods), second / math.sqrt(periods)
    return 2.0 - 2.0 * correlation + 0.5 * (a * a + b * b - 2.0 * a * b * correlation**2)
