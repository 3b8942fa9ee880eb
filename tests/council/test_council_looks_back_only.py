"""What happens after a meeting cannot change it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from simulator.llm.messages import canonical_json
from simulator.market.bars import instant, moment
from simulator.market.events import Event


@pytest.mark.parametrize("k", [0, 13, 26, 39, 52])
def test_noise_in_every_later_bar_leaves_the_decision_byte_identical(convene, held, year, noise_after, k):
    at = year.instants[k]
    rows = [int(np.searchsorted(bars.closes_at, at, side="right")) for bars in (year.bars, year.context)]
    changed = replace(
        year,
        bars=noise_after(year.bars, rows[0]),
        context=noise_after(year.context, rows[1]),
        events=(
            *year.events,
            Event(moment(at) + timedelta(days=1), "Surprise", "high", moment(at) + timedelta(hours=1)),
        ),
    )
    assert changed.bars.digest != year.bars.digest
    meeting = convene().hold([changed.snapshot(k)])
    assert meeting.decisions[0] == held.decisions[k]
    assert canonical_json(meeting.decisions[0].record) == canonical_json(held.decisions[k].record)


def test_noise_in_the_newest_known_bar_does_change_the_facts(convene, held, year, noise_after):
    row = int(np.searchsorted(year.bars.closes_at, year.instants[0], side="right"))
    changed = replace(year, bars=noise_after(year.bars, row - 1))
    assert convene().council.open(changed.snapshot(0)).facts != held.opinions[0].facts


def test_the_opinion_does_not_depend_on_earlier_decisions_or_on_other_dates(convene, held, year):
    alone = convene()
    opinion = asyncio.run(alone.council.opine(year.snapshot(20), tuple(held.decisions[:20])))
    assert opinion == held.opinions[20]


def test_the_instant_itself_is_part_of_what_is_known(year):
    assert instant(year.snapshot(0).as_of) == year.instants[0]
