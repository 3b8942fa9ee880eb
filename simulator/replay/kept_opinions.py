"""Opinions formed before, taken again where all they rest on is as it was.

code, basis, snapshot, opinion before ──► key ──► store ──► opinion, its questions counted as put
                                                    └─ none, or an answer changed ──► formed and kept
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from simulator.errors import AuditError, SimError
from simulator.llm.gateway import Gateway
from simulator.llm.opinions import KeptOpinion, OpinionStore
from simulator.llm.trace import tracing
from simulator.market.bars import INSTANTS, NUMBERS, Bars, Snapshot
from simulator.printing import say
from simulator.trading.strategy import KeepsOpinions, Strategy

MOST_ROWS = 4096
"""Bars copied at once to be digested."""


class KeptOpinions:
    """Opinions in `store`, whose questions were put through `gateway`. `code` is a digest of the code that forms them.

    With `verify` each is formed all the same and held against the one kept. `taken` counts those taken or found equal.
    """

    def __init__(self, store: OpinionStore, gateway: Gateway, code: str, verify: bool = False) -> None:
        self.store, self.gateway, self.code, self.verify = store, gateway, code, verify
        self.taken = 0

    def over(self, snapshots: Sequence[Snapshot]) -> Recall:
        """Return them for one replay, that of the points at which `snapshots` are known."""
        return Recall(self, snapshots)

    def close(self) -> None:
        """Write what was formed anew, and tell how many were found equal where they are verified."""
        self.store.close()
        if self.verify:
            say(f"sim: {self.taken} kept opinions are those their answers give", err=True)


class Recall:
    """Kept opinions of the points of one replay."""

    def __init__(self, kept: KeptOpinions, snapshots: Sequence[Snapshot]) -> None:
        self._kept, self._snapshots = kept, snapshots
        self._marks: dict[int, str] = {}
        self._able: dict[Strategy[Any], KeepsOpinions | None] = {}

    async def opine(self, k: int, strategy: Strategy[Any], form: Callable[[], Awaitable[Any]]) -> Any:
        """Return the opinion of `strategy` at point `k`, by `form` where none is kept.

        One that reads minutes comes after that of the point before. Raises as `form`, and AuditError for an opinion
        that is not the one kept, where these are verified.
        """
        after = self._marks.get(k - 1, "" if not k else None) if strategy.reads == "minutes" else ""
        if strategy not in self._able:
            self._able[strategy] = strategy if isinstance(strategy, KeepsOpinions) else None
        able = self._able[strategy]
        if after is None or able is None or able.basis is None:
            return await form()
        key = _digest(self._kept.code, able.basis, self._digests[k], after)
        found = self._kept.store.find(key)
        if found is not None and not self._kept.verify:
            with suppress(ValueError, KeyError, TypeError, SimError):
                opinion = able.read_opinion(json.loads(found.content), self._snapshots[k])
                self._kept.gateway.take(found.calls)
                self._kept.taken += 1
                self._marks[k] = _digest(key, found.content)
                return opinion
        with tracing() as trace:
            opinion = await form()
        made = KeptOpinion(json.dumps(able.write_opinion(opinion)), trace.calls)
        self._marks[k] = _digest(key, made.content)
        if found is None:
            self._kept.store.keep(key, made.content, trace)
        elif self._kept.verify:
            self._compare(k, found, made)
        return opinion

    def _compare(self, k: int, found: KeptOpinion, made: KeptOpinion) -> None:
        if found != made:
            raise AuditError(
                f"the opinion kept of {self._snapshots[k].as_of.isoformat()} is not the one its answers give",
                where=str(self._kept.store.path),
                mend="remove that file, and please report this",
            )
        self._kept.taken += 1

    @cached_property
    def _digests(self) -> list[str]:
        return list(digest_snapshots(self._snapshots))


def digest_snapshots(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Yield a sha256 (hex) of everything in each of `snapshots`, which are those of one replay, by time.

    Each holds what the one before held and what was added, so nothing is digested twice.
    """
    rows = [_RowDigest(), _RowDigest()]
    news, read, events, known = hashlib.sha256(), 0, "", -1
    for one in snapshots:
        if len(one.events) != known:
            known, events = len(one.events), _digest(repr(tuple(one.events)))
        for headline in one.news[read:]:
            news.update(repr(headline).encode() + b"\n")
        read = len(one.news)
        bars = [rows[0].after(one.bars), *([] if one.context is None else [rows[1].after(one.context.bars)])]
        yield _digest(one.as_of.isoformat(), *bars, events, news.hexdigest())


class _RowDigest:
    """Digest of bars to which later ones are added: that of the rows, however many came at once."""

    def __init__(self) -> None:
        self._rows, self._digest = 0, hashlib.sha256()

    def after(self, bars: Bars) -> str:
        for start in range(self._rows, len(bars), MOST_ROWS):
            part = slice(start, min(start + MOST_ROWS, len(bars)))
            columns = [getattr(bars, name)[part] for name in (*INSTANTS, *NUMBERS, "cash_return")]
            flat = [one.reshape(len(one), -1).view(np.uint8) for one in columns]
            self._digest.update(np.hstack(flat).tobytes())
        self._rows = len(bars)
        return _digest(repr((bars.symbols, bars.sources, bars.frequency)), self._digest.hexdigest())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
