"""Size and power of the any-time verdict, looked at after every session from 60 to 252.

    python benchmarks/anytime_size.py [--replicates 10000] [--books 1000] [--only PART] [--write]

`--write` puts the tables into docs/anytime.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from pages import write_table
from verdict_size import (
    DRIFT,
    SPREAD,
    WARM,
    Weigh,
    ar1,
    coins,
    dips,
    double_down,
    drawn,
    garch,
    graded,
    independent,
    late,
    neutral,
    pick,
    ramp,
    saver,
    table,
    trend_of,
)

from simulator.stats.confidence_sequence import (
    ALPHA,
    FIRST_LOOK,
    anytime_test,
    confidence_sequence,
    sessions_to_find,
)
from simulator.stats.series import Undefined
from simulator.stats.skill import level_reward, mean_so_far, mean_test

LAST_LOOK, BEFORE = 252, 251
"""The last look, and the sessions of the backtest that starts a book's usual exposure."""

Floats = np.ndarray
Series = Callable[[np.random.Generator, int, int], Floats]

NOISE: dict[str, Series] = {
    "iid normal": independent,
    "Student t, 4 degrees": lambda rng, n, count: rng.standard_t(4, (count, n)),
    "AR(1), 0.2": ar1,
    "GARCH-t": garch,
}
RARE: dict[str, Series] = {
    "1 − Exp(1)": lambda rng, n, count: 1.0 - rng.exponential(size=(count, n)),
    "gamma, skew −4": lambda rng, n, count: 0.5 - rng.gamma(0.25, 2.0, (count, n)),
    "a loss in 5 %": drawn(0.05, 19.0),
    "a loss in 2 %": drawn(0.02, 49.0),
    "a disaster in 1 %": drawn(0.01, 99.0),
}
BOOKS: dict[str, Weigh] = {
    "weekly coin a symbol": coins,
    "weekly graded coin a symbol": graded,
    "weekly picker, fully invested": pick,
    "long one, short the other": neutral,
    "buys 20-session dips": dips(20),
    "buys 60-session dips": dips(60),
    "follows the 50-session trend": lambda _, moves: 0.5 * (trend_of(moves, 50) > 0),
    "doubles down": double_down,
    "a little more every session": ramp,
    "out for half of the time, then in": late,
    "buys every week, never sells": saver(after_losses=False),
}


def shares(d: Floats, first: int = FIRST_LOOK) -> tuple[float, float, float]:
    """Percent of histories (R, n) with 0 outside the interval at any look, above 0 at any, and outside at the last."""
    found = confidence_sequence(d)
    looks = slice(first - 1, None)
    outside = (np.abs(found.mean) > found.half_width)[:, looks]
    above = (found.low > 0)[:, looks]
    return tuple(100.0 * float(one.mean()) for one in (outside.any(axis=1), above.any(axis=1), outside[:, -1]))


def bound(count: int) -> float:
    """Percent up to which chance takes 5 % at 99 %."""
    return 5.0 + 233 * math.sqrt(0.05 * 0.95 / count)


def cells(d: Floats, first: int = FIRST_LOOK) -> list[str]:
    outside, above, last = shares(d, first)
    return [f"{outside:.1f}{' **!**' if outside > bound(len(d)) else ''}", f"{above:.1f}", f"{last:.1f}"]


def noises(count: int) -> Iterator[tuple[str, list[str]]]:
    for name, series in NOISE.items():
        yield name, cells(series(np.random.default_rng(1), LAST_LOOK, count))
    for name, series in NOISE.items():
        d = series(np.random.default_rng(2), LAST_LOOK + 120, count // 2)
        yield f"{name}, 120 sessions carried in", cells(d, 120 + FIRST_LOOK)


def called(d: Floats) -> bool:
    """Return whether at any look one history (n,) is above 0 by sequence and by the verdict of that many sessions."""
    found = confidence_sequence(d)
    for n in (np.flatnonzero(found.low[FIRST_LOOK - 1 :] > 0) + FIRST_LOOK).tolist():
        fixed = mean_test(d[:n])
        if not isinstance(fixed, Undefined) and fixed.p < ALPHA:
            return True
    return False


def rares(count: int) -> Iterator[tuple[str, list[str]]]:
    for name, series in RARE.items():
        d = series(np.random.default_rng(3), LAST_LOOK, count)
        outside, above, last = shares(d)
        skill = 100.0 * float(np.mean([called(one) for one in d[: max(count // 5, 1)]]))
        yield name, [f"{outside:.1f}", f"{above:.1f}", f"{last:.1f}", f"{skill:.1f}"]


def judged(weigh: Weigh, shocks: Series, before: int, count: int) -> Iterator[bool]:
    """Of books over two independent symbols of the bull market, those called skill at any look."""
    rng = np.random.default_rng(4)
    n = WARM + before + LAST_LOOK
    for moves in DRIFT + SPREAD * np.stack([shocks(rng, n, count) for _ in range(2)], axis=-1):
        w, x = weigh(rng, moves)[WARM:], moves[WARM:]
        ahead = (w - mean_so_far(w))[before:]
        x = x[before:]
        d = (ahead * x).sum(axis=1)
        found = confidence_sequence(d)
        looks = (np.flatnonzero(found.low[FIRST_LOOK - 1 :] > 0) + FIRST_LOOK).tolist()
        yield any(anytime_test(d[:k], level_reward(ahead[:k], x[:k])).p < ALPHA for k in looks)


def books(count: int) -> Iterator[tuple[str, list[str]]]:
    for name, weigh in BOOKS.items():
        found = [
            100.0 * float(np.mean(list(judged(weigh, shocks, before, count))))
            for shocks in (independent, garch)
            for before in (0, BEFORE)
        ]
        yield name, [f"{one:.1f}{' **!**' if one > bound(count) else ''}" for one in found]


def powers(count: int) -> Iterator[tuple[str, list[str]]]:
    for yearly in (1.0, 1.5, 2.0, 3.0):
        ratio = yearly / math.sqrt(252)
        needed = sessions_to_find(ratio)
        assert not isinstance(needed, Undefined)
        d = independent(np.random.default_rng(5), int(needed), count) + ratio
        above = confidence_sequence(d).low[:, FIRST_LOOK - 1 :] > 0
        half = above[:, : int(needed) // 2 - FIRST_LOOK + 1].any(axis=1).mean() if needed >= 2 * FIRST_LOOK else 0.0
        yield (
            f"{yearly:g} a year",
            [f"{needed:,.0f}", *(f"{100 * one:.0f}" for one in (above.any(axis=1).mean(), half))],
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--replicates", type=int, default=10_000)
    options.add_argument("--books", type=int, default=1_000)
    options.add_argument("--only", choices=("noise", "rare", "books", "power"))
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    looks = ("0 outside at any look", "above 0 at any look", "0 outside at the last")
    starts = tuple(f"{market}, {start}" for market in ("iid", "GARCH-t") for start in ("no backtest", "251 before"))
    parts = {
        "noise": ("% of histories without an edge", looks, noises(given.replicates)),
        "rare": ("% of histories without an edge", (*looks, "called skill at any look"), rares(given.replicates)),
        "books": ("% called skill at any look", starts, books(given.books)),
        "power": ("true ratio", ("sessions needed", "% found by then", "% by half of them"), powers(1_000)),
    }
    for name, part in parts.items():
        if given.only in (None, name):
            content = table(*part)
            if given.write:
                write_table("anytime.md", name, content)


if __name__ == "__main__":
    main()
