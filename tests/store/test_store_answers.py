"""Two answers to one approval at once, on each database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from simulator.errors import SimError
from simulator.forward.approvals import Approval, Staged, StaleError, answer, read_approvals, write_asked
from simulator.store.database import Store
from simulator.store.events import Event

ASKED = Approval(
    "a" * 12, "run", "A", "2024-06-04T08:45:00-04:00", "meeting", "2024-06-04T09:27:00-04:00", 1, "waiting",
    {"COUNCIL": Staged(10.0)}, 100.0,
)  # fmt: skip


def test_of_two_answers_at_once_the_second_is_stale(place: Path | str) -> None:
    outcomes: list[Any] = []

    def say(by: str) -> None:
        with Store(place) as own:
            try:
                outcomes.append(answer(own, ASKED.id, 1, by, "approve").by)
            except SimError as error:
                outcomes.append(error)

    with Store(place) as store:
        asked = Event("approval.asked", ASKED.decided_at, None, write_asked(ASKED))
        store.append("run", [Event("forward.started", None, None, {"rehearsed": True}), asked])
        threads = [threading.Thread(target=say, args=(name,)) for name in ("ann", "bob")]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        (late,) = [one for one in outcomes if isinstance(one, StaleError)]
        (by,) = [one for one in outcomes if isinstance(one, str)]
        assert f"approved meanwhile by {by}" in str(late)
        assert read_approvals(store)[0].by == by
