"""The few distribution functions inference needs.

The normal and the chi-squared distribution come from the standard library, because importing scipy.special costs a
tenth of a second and every report needs them; Student's t, central and not, is scipy's and imported when called.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def normal_cdf(z: float) -> float:
    """P(Z ≤ z), accurate in both tails."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """z with P(Z ≤ z) = p, 0 < p < 1 (Wichura 1988, AS 241)."""
    return _NORMAL.inv_cdf(p)


def chi2_sf(x: float, degrees: int) -> float:
    """P(X > x) for a chi-squared X with a whole number of degrees of freedom.

    The upper incomplete gamma function of a whole or half order is a finite sum (Abramowitz & Stegun 26.4.4-5).
    """
    if x <= 0.0:
        return 1.0
    half = x / 2.0
    odd = degrees % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    order = 0.5 if odd else 0.0
    while order < degrees / 2:
        total += math.exp(order * math.log(half) - half - math.lgamma(order + 1.0))
        order += 1.0
    return min(total, 1.0)


def student_cdf(t: float, degrees: float, noncentrality: float = 0.0) -> float:
    """P(T ≤ t) for Student's t, noncentral where asked."""
    from scipy.special import nctdtr, stdtr

    return float(nctdtr(degrees, noncentrality, t)) if noncentrality else float(stdtr(degrees, t))


def student_quantile(p: float, degrees: float) -> float:
    """t with P(T ≤ t) = p for a central Student t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, p))
