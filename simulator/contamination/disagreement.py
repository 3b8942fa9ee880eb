"""Do members who may remember a date vote with those who cannot? From the votes a run recorded; nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import combinations

import numpy as np

from simulator.council.records import MeetingRecord
from simulator.council.vote import votes_of
from simulator.evidence.records import Disagreement
from simulator.llm.cutoffs import BEFORE, GREY, part_of
from simulator.stats.bootstrap import block_length, interval, stationary_rows

DRAWS = 10_000
FEWEST_MEETINGS = 10
"""Meetings below which no interval is given."""

SideTaken = tuple[str, bool]
"""(instrument, is it long?); all FLAT votes are one."""

Pair = tuple[str, str]
"""Two seats, in alphabetical order."""


def disagreement(
    meetings: Iterable[tuple[date, MeetingRecord]], cutoffs: Mapping[str, date | None], seed: int = 0
) -> Disagreement:
    """Agreement of members whose training covers the date with those whose does not, against agreement within each.

    Parameters
    ----------
    meetings : (day of the meeting, its record)
    cutoffs : seat → last day its model can know of; None for those that cannot be placed. They are left out, and so
        is a member at dates in the 90 grey days after its cut-off

    Returns
    -------
    ``meetings`` at which both kinds voted, ``across`` and ``within``: mean share of pairs of pitches with the same
    instrument and direction; ``difference`` = across − within over meetings that have both, with ``low`` and ``high``
    (95 %, stationary bootstrap of meetings); ``elsewhere``: agreement of the pairs that stand across from each other
    here, at dates where both are on one side, for members differ by persona too; ``reasons`` for what is None.
    """
    across: list[float] = []
    both: list[tuple[float, float]] = []
    beside: dict[Pair, list[bool]] = {}
    crossed: set[Pair] = set()
    for day, meeting in meetings:
        votes: dict[str, SideTaken] = {
            seat: (vote.instrument, vote.conviction > 0) if vote.conviction else ("", False)
            for seat, vote in votes_of(meeting).items()
        }
        sides = _sides(votes, day, cutoffs)
        apart = [(a, b) for a, b in combinations(sorted(sides), 2) if sides[a] != sides[b]]
        beside_now = [(a, b) for a, b in combinations(sorted(sides), 2) if sides[a] == sides[b]]
        crossed.update(apart)
        for a, b in beside_now:
            beside.setdefault((a, b), []).append(votes[a] == votes[b])
        if apart:
            across.append(_share(apart, votes))
        if apart and beside_now:
            both.append((across[-1], _share(beside_now, votes)))
    agreed = [same for pair in sorted(crossed) for same in beside.get(pair, ())]
    return {**_summary(across, both, seed), "elsewhere": float(np.mean(agreed)) if agreed else None}


def _sides(votes: Iterable[str], day: date, cutoffs: Mapping[str, date | None]) -> dict[str, bool]:
    """{seat: whether its model's training covers the day}, without those nobody can place."""
    parts = {seat: part_of(day, until) for seat in votes if (until := cutoffs.get(seat)) is not None}
    return {seat: part == BEFORE for seat, part in parts.items() if part != GREY}


def _share(pairs: Sequence[Pair], votes: Mapping[str, SideTaken]) -> float:
    return sum(votes[a] == votes[b] for a, b in pairs) / len(pairs)


def _summary(across: Sequence[float], both: Sequence[tuple[float, float]], seed: int) -> Disagreement:
    found: Disagreement = {
        "meetings": len(across),
        "across": float(np.mean(across)) if across else None,
        "within": float(np.mean([within for _, within in both])) if both else None,
        "difference": None,
        "low": None,
        "high": None,
        "reasons": {},
        "elsewhere": None,
    }
    if not across:
        found["reasons"]["across"] = "at no meeting do some members' models cover the date while others' do not"
    elif not both:
        found["reasons"]["difference"] = "one member on each side: there is no agreement within to compare with"
    if not both:
        return found
    differences = np.array([apart - within for apart, within in both])
    mean = float(differences.mean())
    found["difference"] = mean
    if len(differences) < FEWEST_MEETINGS:
        found["reasons"]["low"] = f"fewer than {FEWEST_MEETINGS} meetings"
        return found
    rows = stationary_rows(len(differences), block_length(differences), DRAWS, np.random.default_rng(seed))
    found["low"], found["high"] = interval(differences[rows].mean(axis=1), mean)
    return found
