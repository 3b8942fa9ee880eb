"""Waits between attempts: the configured ones, longer where the service asks for it, none where that is too long."""

from __future__ import annotations

import pytest

from simulator.llm.providers import TransientError
from simulator.llm.retries import Retry


@pytest.mark.parametrize(
    ("attempt", "retry_after", "wait"),
    [
        (1, None, 1.0),
        (3, None, 4.0),
        (5, None, 16.0),
        (6, None, None),
        (1, 30.0, 30.0),
        (5, 3.0, 16.0),
        (1, 121.0, None),
    ],
)
def test_a_wait_is_the_configured_one_or_the_longer_one_the_service_asks_for(
    attempt: int, retry_after: float | None, wait: float | None
) -> None:
    assert Retry().wait_after(attempt, TransientError("429", retry_after=retry_after)) == wait
