"""A strategy is handed the part of the journal it declares, and no more."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.trading.model import Decision, Target
from simulator.trading.strategy import slice_journal

MONDAY = datetime(2024, 6, 3, 12, tzinfo=UTC)
JOURNAL = (Decision(MONDAY, (Target("A", 0.5),)),)


class Author:
    def minutes(self, opinion: Any) -> dict[str, Any]:
        return {"said": opinion}


def reading(part: str) -> Any:
    return SimpleNamespace(reads=part)


def before(author: Any) -> Any:
    return author, SimpleNamespace(as_of=MONDAY), "long"


def test_who_reads_the_journal_gets_all_of_it():
    assert slice_journal(reading("journal"), JOURNAL, before(Author())) == JOURNAL


def test_who_reads_the_market_gets_nothing_of_it():
    assert slice_journal(reading("market"), JOURNAL, before(Author())) == ()


def test_who_reads_minutes_gets_those_of_the_point_before_without_its_targets():
    assert slice_journal(reading("minutes"), JOURNAL, before(Author())) == (Decision(MONDAY, (), {"said": "long"}),)


@pytest.mark.parametrize("last", [None, before(object())])
def test_without_minutes_there_is_nothing_to_read(last: Any):
    assert slice_journal(reading("minutes"), JOURNAL, last) == ()
