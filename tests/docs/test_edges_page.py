"""The table of edges in docs/forward.md names tests that there are, for each of the thirty-six."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_each_edge_of_a_broker_has_tests_that_there_are() -> None:
    page = (TESTS.parent / "docs" / "forward.md").read_text(encoding="utf-8")
    table = page.partition("## Thirty-six edges")[2].partition("\n## ")[0]
    rows = [re.split(r" *\| *", line)[1:4] for line in table.splitlines() if re.match(r"\| \d", line)]
    assert [int(number) for number, *_ in rows] == list(range(1, 37))
    there = {
        name
        for room in ("forward", "rehearsal", "trading")
        for path in (TESTS / room).glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {number: re.findall(r"`(test_\w+)`", tests) for number, _, tests in rows}
    assert [number for number, tests in named.items() if not tests] == []
    assert {one for tests in named.values() for one in tests} - there == set()
