"""When a strategy is asked: meetings at its cadence, and checkpoints between them.

meetings     ──┐
               ├──► agenda ──► instants, occasions, notes
checkpoints  ──┘      └── a checkpoint that brings no new bar is skipped
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simulator.market.bars import Instants, moment
from simulator.market.calendar import NEW_YORK

Occasion = Literal["meeting", "checkpoint"]
MEETING: Occasion = "meeting"
CHECKPOINT: Occasion = "checkpoint"


@dataclass(frozen=True, eq=False)
class Agenda:
    """`instants` (K,) in nanoseconds since the epoch, oldest first, what each is, and what to say of them."""

    instants: Instants
    occasions: tuple[Occasion, ...]
    notes: tuple[str, ...] = ()


def agenda(meetings: Instants, checkpoints: Instants, closes_at: Instants) -> Agenda:
    """All `meetings`, and those `checkpoints` after the first of them that know a bar the occasion before did not.

    `closes_at` (T,) are the closing instants of the bars. Of a meeting and a checkpoint at one instant the meeting
    stays.
    """
    kinds: dict[int, Occasion] = dict.fromkeys(checkpoints.tolist(), CHECKPOINT)
    kinds |= dict.fromkeys(meetings.tolist(), MEETING)
    known = dict(zip(kinds, np.searchsorted(closes_at, list(kinds), side="right").tolist(), strict=True))
    kept: list[int] = []
    skipped: list[int] = []
    for at in sorted(kinds):
        if kinds[at] == MEETING:
            kept.append(at)
        elif kept:
            (kept if known[at] > known[kept[-1]] else skipped).append(at)
    return Agenda(np.array(kept, dtype=np.int64), tuple(kinds[at] for at in kept), _said(skipped))


def _said(skipped: list[int]) -> tuple[str, ...]:
    times = Counter(f"{moment(at).astimezone(NEW_YORK):%H:%M}" for at in skipped)
    if not times:
        return ()
    listed = ", ".join(f"{time} × {count}" for time, count in sorted(times.items()))
    return (f"{len(skipped)} checkpoints bring no bar newer than the occasion before and are skipped ({listed})",)
