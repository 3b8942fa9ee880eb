"""States of forward tests kept beside their store: each event is read once, however often a state is asked for.

first reading ──► every event of its kinds ──► take ──► state    later ──► events since    a backup put back ──► anew
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from simulator.store.database import Store
from simulator.store.events import Stored

T = TypeVar("T")

SOME = 2_000
"""Events that are in memory at once: months of them are read at the first look."""


class Kept(Generic[T]):
    """State that events of `kinds` make of all forward tests: begun by `make`, changed by `take` with each."""

    def __init__(self, kinds: Sequence[str], make: Callable[[], T], take: Callable[[T, Stored], None]) -> None:
        self._kinds, self._make, self._take = tuple(kinds), make, take
        self._known: WeakKeyDictionary[Store, tuple[Stored, T]] = WeakKeyDictionary()
        self._turn = RLock()

    @contextmanager
    def of(self, store: Store) -> Iterator[T]:
        """Yield the state after the newest event of `store`; it stays as it is inside. Raises SimError."""
        with self._turn:
            yield self._read(store)

    def _read(self, store: Store) -> T:
        newest = store.newest_event()
        last, state = self._known.get(store, (None, None))
        if newest is None:
            return self._make()
        if state is not None and newest == last:
            return state
        if state is None or last is None or not store.holds(last):
            last, state = None, self._make()
        self._known.pop(store, None)  # an event that cannot be read leaves no state that took half of it
        after = 0 if last is None else last.position
        while new := store.of_forward(None, self._kinds, after, SOME):
            for one in new:
                if one.position <= newest.position:  # those that came meanwhile are read the next time
                    self._take(state, one)
            after = new[-1].position
            if len(new) < SOME or after >= newest.position:
                break
        self._known[store] = newest, state
        return state
