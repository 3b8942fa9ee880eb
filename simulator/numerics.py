"""Sums of products, small linear algebra, exp and log that come out the same, to the last bit, on every machine.

A BLAS adds in an order that depends on the processor, and where it can it fuses products with sums; numpy's logarithms,
exponentials and powers have a version for each generation of vector units, which differ in the last bit, and so have
those of the C library. Sums of numpy have one order everywhere. So what is kept or decided by is made of single
operations of IEEE 754 and of numpy's sums. Of `math` the functions of single numbers are used beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
"""log 2, and what its first 33 bits leave."""
LOG = (
    *(6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01),
    *(1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01),
)
EXP = (
    *(1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05),
    *(-1.65339022054652515390e-06, 4.13813679705723846039e-08),
)
COSINE, SINE = (
    tuple((1, -1)[k % 2] / math.factorial(2 * k + odd) for k in range(10)) for odd in (0, 1)
)  # of z = x²; the sine's are divided by x


LARGE_PAGES = 2**22
"""Bytes from which on numpy asks for pages of 2 MB."""


def room(*shape: int) -> Floats:
    """Return an array to be filled, in large pages where it is large: to take small ones from the system, one by one,
    takes half as long as to play what is written into them."""
    cells = math.prod(shape)
    taken = max(cells, LARGE_PAGES // 8) if cells > LARGE_PAGES // 32 else cells
    return np.empty(taken)[:cells].reshape(shape)


def dot(a: Floats, b: Floats) -> float:
    """Return Σ aᵢbᵢ of two series (n,)."""
    return float((a * b).sum())


def products(a: Floats, b: Floats) -> Floats:
    """Return aᵀb (k, m): sums over the rows of a (n, k) and b (n, m), one column of `a` at a time."""
    rows = np.ascontiguousarray(b)
    return np.array([(a[:, k, None] * rows).sum(axis=0) for k in range(a.shape[1])])


def matmul(a: Floats, b: Floats) -> Floats:
    """Return ab (n, m) of a (n, k) and b (k, m), added up in the order of the k."""
    total = a[:, :1] * b[:1]
    for k in range(1, len(b)):
        total += a[:, k, None] * b[k]
    return total


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation of two series (n,) that vary, -1 … 1."""
    first, second = a - a.mean(), b - b.mean()
    found = dot(first, second) / math.sqrt(dot(first, first) * dot(second, second))
    return min(max(found, -1.0), 1.0)


def weighing(values: Floats, most: float) -> Callable[[Floats], Floats]:
    """Return the function that takes weights (b, n) and returns weights · values (b, m), values (n, m).

    Weights are whole and not negative, at most `most` in sum. Each column of values is rounded to whole multiples of a
    step, a power of two that leaves every possible sum below 2⁵³ steps: all sums are exact, in whatever order a BLAS
    adds, with fused products or without. For `most` = 2,520 a value is kept to 2⁻⁴¹ of the largest of its column.
    """
    step = np.ldexp(1.0, np.frexp(np.abs(values).max(axis=0))[1] + math.frexp(most)[1] - 53)
    whole = np.rint(values / step)
    return lambda weights: np.asarray((weights @ whole) * step)


def decompose(a: Floats) -> tuple[Floats, Floats, Floats]:
    """Singular values of a (n, k), k small: U·S (n, k), S² (k,) and V (k, k) with a = US·Vᵀ, in no order.

    By rotating pairs of columns until all are at right angles (Hestenes 1958), which finds small ones as well as
    large ones. A column that is only rounding beside the largest (numpy's rule for a rank) is exactly 0.
    """
    left, right = np.array(a, dtype=np.float64), np.eye(a.shape[1])
    for _ in range(30):
        turned = False
        for p in range(len(right)):
            for q in range(p + 1, len(right)):
                turned |= _turn(left, right, p, q)
        if not turned:
            break
    squares = (left * left).sum(axis=0)
    nothing = np.sqrt(squares) <= np.sqrt(squares.max()) * max(a.shape) * np.finfo(np.float64).eps
    left[:, nothing] = 0.0
    return left, np.where(nothing, 0.0, squares), right


def _turn(left: Floats, right: Floats, p: int, q: int) -> bool:
    """Rotate columns p and q to a right angle; False where they are at one."""
    own, other, both = (dot(left[:, i], left[:, j]) for i, j in ((p, p), (q, q), (p, q)))
    if abs(both) <= 1e-15 * math.sqrt(own * other):
        return False
    zeta = (other - own) / (2.0 * both)
    tangent = math.copysign(1.0, zeta) / (abs(zeta) + math.sqrt(1.0 + zeta * zeta))
    cosine = 1.0 / math.sqrt(1.0 + tangent * tangent)
    for matrix in (left, right):
        first, second = matrix[:, p].copy(), matrix[:, q].copy()
        matrix[:, p] = cosine * first - cosine * tangent * second
        matrix[:, q] = cosine * tangent * first + cosine * second
    return True


def least_squares(x: Floats, y: Floats) -> Floats:
    """Return the coefficients (k, m) that bring x (n, k) closest to y (n, m), the shortest ones where many do."""
    left, squares, right = decompose(x)
    inverse = np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0.0)
    return matmul(right * inverse, products(left, y))


def log(values: ArrayLike) -> Floats:
    """Natural logarithms, within one unit of the last bit; NaN below 0, -inf at 0."""
    x = np.asarray(values, dtype=np.float64)
    return _log(x, np.zeros_like(x))


def log1p(values: ArrayLike) -> Floats:
    """Natural logarithms of 1 + x; small ones keep all their bits."""
    x = np.asarray(values, dtype=np.float64)
    total = 1.0 + x
    with np.errstate(divide="ignore", invalid="ignore"):
        # The part of x that 1 + x has no room for.
        return _log(total, np.where(np.isfinite(total) & (total > 0.0), (x - (total - 1.0)) / total, 0.0))


def _log(x: Floats, rest: Floats) -> Floats:
    """log(x) + rest by the series of FreeBSD's e_log.c: x = 2ᵏ(1 + f), s = f/(2 + f), log(1 + f) = 2 artanh s."""
    fraction, k = np.frexp(x)
    small = fraction < math.sqrt(0.5)
    f, k = np.where(small, 2.0 * fraction, fraction) - 1.0, k - small
    with np.errstate(divide="ignore", invalid="ignore"):
        s = f / (2.0 + f)
        z, half = s * s, 0.5 * f * f
        found = k * LN2[0] - ((half - (s * (half + z * _polynomial(LOG, z)) + (k * LN2[1] + rest))) - f)
        edge = np.where(x == 0.0, -np.inf, np.where(x < 0.0, np.nan, x))
    return np.asarray(np.where((x > 0.0) & (x < np.inf), found, edge))


def exp(values: ArrayLike) -> Floats:
    """Exponentials, within one unit of the last bit, by the series of FreeBSD's e_exp.c: x = k·log 2 + r."""
    x = np.clip(np.asarray(values, dtype=np.float64), -800.0, 800.0)
    k = np.rint(x / math.log(2.0))
    high, low = x - k * LN2[0], k * LN2[1]
    r = high - low
    c = r - r * r * _polynomial(EXP, r * r)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(1.0 - ((low - r * c / (2.0 - c)) - high), np.nan_to_num(k).astype(np.int64)))


def turn_cosines(n: int) -> Floats:
    """Return (4n,) cosines of kπ/2n, k = 0 … 4n − 1: one turn, by the series of cosine and sine up to π/4."""
    k = np.arange(n + 1)
    near = np.minimum(k, n - k) * (math.pi / (2 * n))
    cosine, sine = _polynomial(COSINE, near * near), near * _polynomial(SINE, near * near)
    quarter = np.where(2 * k <= n, cosine, sine)
    half = np.concatenate([quarter, -quarter[-2::-1]])
    return np.concatenate([half, half[-2:0:-1]])


def power(base: float, exponent: float) -> float:
    """Return base ≥ 0 to a power that is not 0."""
    return float(exp(exponent * log(base)))


def _polynomial(coefficients: tuple[float, ...], z: Floats) -> Floats:
    total = np.full_like(z, coefficients[-1])
    for one in coefficients[-2::-1]:
        total = total * z + one
    return total
