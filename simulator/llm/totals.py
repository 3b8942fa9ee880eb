"""Totals of the answer cache, kept beside the entries: `sim cache stats` adds up a few rows instead of every answer.

Whoever stores entries adds to them in the same transaction. Whoever changes or removes one empties them, by a trigger
of the file itself; then, and where an older version of the program stored some, they do not add up to the number of
entries, and are counted again from all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from simulator.llm.messages import ChatResponse
from simulator.llm.storage import Store

CORRUPT = "corrupt"
DOLLAR = 10**12
"""Costs are summed in whole parts of a dollar, so that the order in which answers came does not show."""

TABLE = """
CREATE TABLE IF NOT EXISTS Totals (
    model TEXT NOT NULL, outcome TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
    entries INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost INTEGER NOT NULL,
    PRIMARY KEY (model, outcome)
)"""
TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS Totals_delete AFTER DELETE ON Cache BEGIN DELETE FROM Totals; END",
    "CREATE TRIGGER IF NOT EXISTS Totals_update AFTER UPDATE OF key, raw, expire_time, tag, mode, filename, value "
    "ON Cache BEGIN DELETE FROM Totals; END",
)
ADD = """
INSERT INTO Totals VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, outcome) DO UPDATE SET
    first = CASE WHEN first = '' OR excluded.first NOT IN ('') AND excluded.first < first THEN excluded.first
            ELSE first END,
    last = max(last, excluded.last), entries = entries + excluded.entries,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens, cost = cost + excluded.cost
"""


class Total(NamedTuple):
    """Entries of one model and outcome, and the instants of the first and the last (ISO); empty where not recorded."""

    first: str
    last: str
    entries: int
    prompt_tokens: float
    completion_tokens: float
    cost: int


Totals = Mapping[tuple[str, str], Total]
"""{(``provider/model``, outcome): total}; bad entries have the outcome CORRUPT."""


class Adding:
    """Totals of entries one after the other."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Counter[str]] = {}
        self._times: dict[tuple[str, str], list[str]] = {}

    def add(self, tag: object, response: ChatResponse | None) -> None:
        """Add the answer of a question labelled `tag`; None for one that is corrupt."""
        model = "/".join(str(tag).split("|")[:2]) if response else ""
        place = (model.encode("utf-8", "replace").decode(), response.outcome if response else CORRUPT)
        sums = self._sums.setdefault(place, Counter())
        sums["entries"] += 1
        if response is None:
            return
        usage = response.usage
        sums["prompt"] += usage.prompt_tokens
        sums["completion"] += usage.completion_tokens
        sums["cost"] += round(usage.cost_usd * DOLLAR)
        if response.asked_at.isascii():
            self._times.setdefault(place, []).append(response.asked_at)

    @property
    def totals(self) -> Totals:
        found = {}
        for place, sums in self._sums.items():
            times = list(filter(None, self._times.get(place, ()))) or [""]
            numbers = (sums[name] for name in ("entries", "prompt", "completion", "cost"))
            found[place] = Total(min(times), max(times), *numbers)
        return found


def add_totals(store: Store, totals: Totals) -> None:
    """Add to the totals of `store`, inside its transaction; made where the file has none."""
    if not _keeps_totals(store):
        make_totals(store)
    store.executemany(ADD, [(*place, *total) for place, total in totals.items()])


def make_totals(store: Store) -> None:
    """Make the table and its triggers where they are missing, inside a transaction."""
    for statement in (TABLE, *TRIGGERS):
        store.sql(statement)


def read_totals(store: Store) -> Totals | None:
    """Return the totals of `store`; None where there are none, or they are not those of its entries."""
    if not _keeps_totals(store):
        return None
    found = {(model, outcome): Total(*rest) for model, outcome, *rest in store.sql("SELECT * FROM Totals")}
    return found if sum(total.entries for total in found.values()) == count_entries(store) else None


def _keeps_totals(store: Store) -> bool:
    """Return whether the file keeps totals."""
    return store.sql("SELECT 1 FROM sqlite_master WHERE name = 'Totals_update'").fetchone() is not None


def count_entries(store: Store) -> int:
    """Number of rows of the file, sound or not."""
    count: int = store.sql("SELECT count(*) FROM Cache").fetchone()[0]
    return count


def keep_totals(store: Store, totals: Totals) -> None:
    """Put `totals`, counted from all entries, in the place of others, unless the number of entries is another now."""
    with store.transact():
        if sum(total.entries for total in totals.values()) == count_entries(store):
            make_totals(store)  # first, for a file of an older version
            store.sql("DELETE FROM Totals")
            add_totals(store, totals)
