"""A sample of `make soak`: three kills of the loop in a session while a fifth of all requests fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from .soak import Soak


@pytest.mark.medium
def test_killed_loops_order_nothing_twice_and_lose_nothing(workspace: Path) -> None:
    soak = Soak(workspace, sessions=1)
    made = soak.run(kills=3, most_s=0.7)
    soak.check(made)
    assert soak.kills > 0
