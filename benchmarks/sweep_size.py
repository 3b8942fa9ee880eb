"""Size and power of the verdict on sweeps: the best of many members without skill, and skill planted among them.

    python benchmarks/sweep_size.py [--sweeps 200] [--sessions 251 1000] [--write]

Each sweep has 40 members on one market of two symbols, GARCH-t, which rises by 15 % a year. "Near copies": half of the
members do what the first does, but for one week in twenty. `--write` puts the table into docs/verdict.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from pages import write_table
from verdict_size import DRIFT, SPREAD, WARM, beyond, coins, dips, garch, informed, noncentral, table

from simulator.stats.bootstrap import block_length
from simulator.stats.many import Resampling, compare_many
from simulator.studies.inference import Members, adjusted_p

MEMBERS, DRAWS, LENGTHS = 40, 500, (251, 1_000)
IC = 0.3

Floats = np.ndarray
Books = Callable[[np.random.Generator, Floats], list[Floats]]
"""Weights (T, 2) of every member over moves (T, 2)."""


def market(rng: np.random.Generator, n: int) -> Floats:
    return DRIFT + SPREAD * np.stack([garch(rng, n + WARM, 1)[0] for _ in range(2)], axis=-1)


def many_coins(rng: np.random.Generator, moves: Floats) -> list[Floats]:
    return [coins(rng, moves) for _ in range(MEMBERS)]


def dip_grid(rng: np.random.Generator, moves: Floats) -> list[Floats]:
    """Buys what fell over so many sessions, holding so much more of it in the first of the two."""
    return [dips(days)(rng, moves) * np.array([1 + tilt, 1 - tilt]) for days in range(5, 55, 5) for tilt in
            (-0.6, -0.2, 0.2, 0.6)]  # fmt: skip


def with_copies(books: Books) -> Books:
    """Half of the members are the first one, which does what another does in one week of twenty."""

    def copied(rng: np.random.Generator, moves: Floats) -> list[Floats]:
        found = books(rng, moves)
        for i in range(len(found) // 2, len(found)):
            other = np.repeat(rng.random(len(moves) // 5 + 1) < 0.05, 5)[: len(moves), None]
            found[i] = np.where(other, found[i], found[0])
        return found

    return copied


def planted(books: Books) -> Books:
    """The last of the first half has a signal whose correlation with each symbol's week is 0.3."""

    def one_edge(rng: np.random.Generator, moves: Floats) -> list[Floats]:
        found = books(rng, moves)
        found[MEMBERS // 2 - 1] = informed(IC)(rng, moves)
        return found

    return one_edge


def swept(books: Books) -> Callable[[np.random.Generator, int], tuple[Floats, Floats]]:
    def sweep(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        moves = market(rng, n)
        made = [beyond(w[WARM:], moves[WARM:]) for w in books(rng, moves)]
        return np.array([d for d, _ in made]), np.array([level for _, level in made])

    return sweep


def noise(copies: bool) -> Callable[[np.random.Generator, int], tuple[Floats, Floats]]:
    def sweep(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        d = garch(rng, n, MEMBERS)
        if copies:
            d[MEMBERS // 2 :] = d[0] + 0.2 * d[MEMBERS // 2 :]
        return d, np.zeros(MEMBERS)

    return sweep


NULLS = {
    "noise": noise(copies=False),
    "noise, half near copies": noise(copies=True),
    "bull-market coins": swept(many_coins),
    "bull-market coins, half near copies": swept(with_copies(many_coins)),
    "dip buyers": swept(dip_grid),
    "dip buyers, half near copies": swept(with_copies(dip_grid)),
}
EDGES = {
    f"coins with one edge, IC {IC}": swept(planted(many_coins)),
    "the same, half near copies of a coin": swept(planted(with_copies(many_coins))),
}


def p_of(d: Floats, levels: Floats) -> Floats:
    """(N,) p of each member, as a sweep has them."""
    every = np.full(len(d), True)
    members = Members(lambda: [d], levels, np.full(len(d), 100.0), every, ~every, np.zeros(len(d)))
    block = float(np.mean([block_length(row) for row in d]))
    return adjusted_p(members, compare_many([d], Resampling(DRAWS, block), levels))


def sizes(sweeps: int, lengths: list[int]) -> Iterator[tuple[str, list[str]]]:
    bound = 5.0 + 233 * math.sqrt(0.05 * 0.95 / sweeps)
    for name, sweep in NULLS.items():
        cells = []
        for n in lengths:
            rng = np.random.default_rng(n)
            share = 100 * float(np.mean([p_of(*sweep(rng, n)).min() < 0.05 for _ in range(sweeps)]))
            cells.append(f"{share:.1f}{' **!**' if share > bound else ''}")
        yield f"{name}: any called skill", cells
    for name, sweep in EDGES.items():
        cells = []
        for n in lengths:
            rng, edges, found = np.random.default_rng(n), [], []
            for _ in range(sweeps):
                d, levels = sweep(rng, n)
                edges.append(d[MEMBERS // 2 - 1])
                found.append(p_of(d, levels)[MEMBERS // 2 - 1] < 0.05)
            ratio = float(np.mean(edges) / np.std(edges))
            cells.append(f"{100 * float(np.mean(found)):.0f} ({noncentral(ratio, n, MEMBERS):.0f})")
        yield f"{name}: found (by the noncentral t)", cells


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sweeps", type=int, default=50)
    options.add_argument("--sessions", type=int, nargs="+", default=LENGTHS)
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    found = table(
        f"% of sweeps of {MEMBERS} members",
        tuple(f"n = {n:,}" for n in given.sessions),
        sizes(given.sweeps, given.sessions),
    )
    if given.write:
        write_table("verdict.md", "sweeps", found)


if __name__ == "__main__":
    main()
