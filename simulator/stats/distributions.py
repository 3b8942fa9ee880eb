"""The few distribution functions inference needs.

Those that every report needs are computed here: importing scipy.special costs a tenth of a second, and the C library's
`erfc` differs in the last bit between processors. The noncentral t is scipy's and imported when called.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from simulator.later import load_later
from simulator.numerics import exp, log1p

_NORMAL = NormalDist()
GAMMA_RATIO = (39325 / 2**25, 869 / 2**22, -399 / 2**18, -21 / 2**15, 5 / 2**10, 1 / 2**7, -1 / 2**3)
"""Of Γ(a + ½) / Γ(a) / √a in powers of 1/a, the seventh first."""


def normal_cdf(z: float) -> float:
    """P(Z ≤ z), accurate in both tails."""
    return 0.5 * erfc(-z / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """z with P(Z ≤ z) = p, 0 < p < 1 (Wichura 1988, AS 241)."""
    return _NORMAL.inv_cdf(p)


def erfc(x: float) -> float:
    """2/√π · ∫ₓ^∞ exp(−t²) dt, a series below 1.5, a continued fraction above (Abramowitz & Stegun 7.1.6, 7.1.14)."""
    if x < 0.0:
        return 2.0 - erfc(-x)
    weight = float(exp(-x * x)) / math.sqrt(math.pi)
    if x < 1.5:
        term = total = x
        for n in range(1, 60):
            term *= 2.0 * x * x / (2 * n + 1)
            total += term
        return 1.0 - 2.0 * weight * total
    below = x
    for n in range(200, 0, -1):
        below = x + n / 2.0 / below
    return weight / below


def chi2_sf(x: float, degrees: int) -> float:
    """P(X > x) for a chi-squared X with a whole number of degrees of freedom.

    The upper incomplete gamma function of a whole or half order is a finite sum (Abramowitz & Stegun 26.4.4-5).
    """
    if x <= 0.0:
        return 1.0
    half = x / 2.0
    odd = degrees % 2
    total = erfc(math.sqrt(half)) if odd else 0.0
    order = 0.5 if odd else 0.0
    # half^order · exp(−half) / Γ(order + 1), each from the one before.
    term = float(exp(-half)) * (2.0 * math.sqrt(half / math.pi) if odd else 1.0)
    while order < degrees / 2:
        total += term
        order += 1.0
        term *= half / order
    return min(total, 1.0)


def student_sf(t: float, degrees: int) -> float:
    """P(T > t) for Student's t with a whole number of degrees of freedom: a finite sum, and no scipy to be loaded.

    Source: Abramowitz & Stegun 26.7.3-4. Absolute error about 1e-16.
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if degrees % 2 else (1.0, 0.0)
    for k in range(degrees % 2 + 1, degrees, 2):
        total += term
        term *= cosine * cosine * k / (k + 1.0)
    central = 2.0 / math.pi * (angle + sine * total) if degrees % 2 else sine * total
    tail = 0.5 * (1.0 - central)
    return tail if t > 0.0 else 1.0 - tail


def student_reach(degrees: int, tail: float) -> float:
    """t with P(T > t) = `tail` < ½ for a whole number of degrees of freedom, by halving: no scipy to be loaded."""
    low, high = 0.0, 1.0
    while student_sf(high, degrees) > tail:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if student_sf(middle, degrees) > tail else (low, middle)
    return high


def binomial_sf(hits: int, trials: int, p: float) -> float:
    """P(X ≥ hits) of a binomial X: its terms added up, the smallest first."""
    if hits <= 0 or p >= 1.0:
        return 1.0
    term, odds = 1.0, p / (1.0 - p)
    for _ in range(trials):
        term *= 1.0 - p
    terms = []
    for k in range(trials + 1):
        terms.append(term)
        term *= odds * (trials - k) / (k + 1)
    return min(math.fsum(terms[hits:]), 1.0)


def binomial_low(hits: int, trials: int, level: float = 0.95) -> float:
    """Lower bound of a share of which `hits` in `trials` were seen, one-sided at `level` (Clopper & Pearson 1934)."""
    low, high = 0.0, hits / trials
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if binomial_sf(hits, trials, middle) < 1.0 - level else (low, middle)
    return low


def student_cdf(t: float, degrees: float, noncentrality: float = 0.0) -> float:
    """P(T ≤ t) for Student's t, noncentral where asked."""
    load_later("numpy.f2py")  # scipy looks at whatever numpy has
    from scipy.special import nctdtr, stdtr

    return float(nctdtr(degrees, noncentrality, t)) if noncentrality else float(stdtr(degrees, t))


def student_quantile(p: float, degrees: float) -> float:
    """t with P(T ≤ t) = p, 0 < p < 1, for a central Student t of any degrees of freedom, to 1e-13 of t up to p = 0.999.

    Newton's steps from the normal quantile, which lies short of it as each of them does. No scipy to be loaded, and the
    same on every machine.
    """
    if p < 0.5:
        return -student_quantile(1.0 - p, degrees)
    peak, t, step = _student_peak(degrees), normal_quantile(p), math.inf
    while step > 1e-14 * t:
        density = peak * float(exp(-0.5 * (degrees + 1.0) * log1p(t * t / degrees)))
        if 3.0 * t * t < degrees and t < 6.0:
            step = (p - 0.5) / density - t * _student_series(t * t / (degrees + t * t), degrees)
        else:
            step = t / degrees * _student_fraction(degrees / (degrees + t * t), degrees / 2.0) - (1.0 - p) / density
        t += step
    return t


def _student_series(y: float, degrees: float) -> float:
    """P(0 < T ≤ t) / (t · density at t), y = t²/(ν + t²) (Abramowitz & Stegun 26.5.4 for I(½, ν/2))."""
    terms, n = [1.0], 0
    while terms[-1] > 1e-17:
        terms.append(terms[-1] * y * (degrees + 1.0 + 2 * n) / (3 + 2 * n))
        n += 1
    return math.fsum(terms)


def _student_fraction(x: float, a: float) -> float:
    """P(T > t) · ν / (t · density at t), x = ν/(ν + t²), a = ν/2 (Abramowitz & Stegun 26.5.8 for I(a, ½))."""
    found = 1.0
    for m in range(60, 0, -1):
        even = m * (0.5 - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m - 1.0) * (a + m - 0.5) * x / ((a + 2 * m - 2.0) * (a + 2 * m - 1.0))
        found = 1.0 + odd / (1.0 + even / found)
    return 1.0 / found


def _student_peak(degrees: float) -> float:
    """Density of Student's t at 0: Γ(a + ½) / Γ(a) / √(2πa), a = ν/2 (Tricomi & Erdélyi 1951)."""
    a, factor = degrees / 2.0, 1.0 / math.sqrt(math.pi * degrees)
    while a < 40.0:
        factor *= a / (a + 0.5)
        a += 1.0
    series = 0.0
    for coefficient in GAMMA_RATIO:
        series = (series + coefficient) / a
    return factor * math.sqrt(a) * (1.0 + series)
