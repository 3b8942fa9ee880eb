"""Cache of every answer a model gave, kept for good.

    get(key) ─► ChatResponse | None     put(request, response)     keys()     stats()     verify()

An entry is one row of ``llm_cache/cache.db``: three lines of bytes, nothing but JSON and no TTL.

    sha256 of key and the lines below
    {"asked_at":…,"finish":…,"latency_s":…,"model":…,"outcome":…,"text":…,"usage":{…}}
    zlib of {"purpose":{…},"request":{…}}

The digest binds answer, question and key together: whatever is changed, swapped or cut is an error, never a miss. The
question, ten times the size of the answer and read by people only, is packed; a hit does not unpack it.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args

import diskcache

from simulator.errors import CacheCorruptError, SimError, UsageError
from simulator.llm.messages import ChatRequest, ChatResponse, Outcome, Usage, canonical_json, whole
from simulator.llm.spending.usage import MOST_TOKENS
from simulator.llm.storage import REPAIR, RefusedRowError, Store, StoredRow, attach, explain, open_store
from simulator.llm.totals import CORRUPT, DOLLAR, Adding, Totals, add_totals, keep_totals, read_totals
from simulator.llm.trace import current_trace

P = TypeVar("P")

OUTCOMES = get_args(Outcome)
PURPOSE = "|purpose|"
MOST = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "written_tokens"), MOST_TOKENS),
    "cost_usd": 1000,
    "latency_s": 1_000_000,
}
"""Numbers of one answer above which it is not believed, whoever stored it."""


@dataclass(frozen=True)
class Entry:
    """One answered question.

    Attributes
    ----------
    request : canonical content of the ChatRequest (`ChatRequest.canonical`), of which `key` is the sha256
    purpose : labels of the run that asked first
    """

    key: str
    request: Mapping[str, Any]
    purpose: Mapping[str, str]
    response: ChatResponse

    def to_json(self) -> dict[str, Any]:
        """JSON-able: a line of a cassette."""
        answer = response_json(self.response)
        return {"key": self.key, "purpose": dict(self.purpose), "request": dict(self.request), "response": answer}


@dataclass(frozen=True)
class CacheStats:
    """Counts and sums over a cache. `models` counts entries by ``provider/model``; `cost_usd` is what all once cost."""

    entries: int
    bytes: int
    corrupt: int
    outcomes: Mapping[str, int]
    models: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    first_asked: str
    last_asked: str


@dataclass(frozen=True)
class BadEntry:
    key: str
    reason: str


@dataclass(frozen=True)
class Verification:
    """Result of `AnswerCache.verify`. `quarantine` is the file bad entries were moved to, None when nothing was."""

    entries: int
    bad: tuple[BadEntry, ...] = ()
    quarantine: Path | None = None


class AnswerCache:
    """The answers in `folder`. Reading makes nothing and needs no write access; the first `put` makes the file.

    Several processes and threads may share a folder. Raises CacheCorruptError for entries that do not match their
    digest and LLMError where the disk says no; both name the folder and the way out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._store: Store | None = None

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def get(self, key: str) -> ChatResponse | None:
        """The stored answer to the question of that key, None when it was never asked. Takes some 50 µs."""
        return self._read(key, _response)

    def entry(self, key: str) -> Entry | None:
        """Question and answer of that key, None when it was never asked."""
        return self._read(key, entry_from)

    def stands(self, answers: Mapping[str, str | None]) -> bool:
        """Return True where every entry of {key: digest} is whole and has its digest; missing, where that is None."""
        try:
            store = self._open()
            found = {} if store is None else store.blobs(list(answers))
            for key, blob in found.items():
                unpack(key, blob)
            return {key: _digest_of(blob) for key, blob in found.items()} == {
                key: read for key, read in answers.items() if read is not None
            }
        except (RefusedRowError, ValueError, sqlite3.Error, SimError):
            return False  # whoever reads it in earnest says what is wrong

    def find(self, prefix: str) -> Entry:
        """Return the one entry whose key begins with `prefix`. Raises UsageError where none or several do."""
        prefix = prefix.lower()
        keys = self.keys(prefix) if prefix and not set(prefix) - set("0123456789abcdef") else []
        if len(keys) > 1:
            few = ", ".join(key[:12] for key in keys[:4])
            raise UsageError(f"{len(keys):,} keys begin with {prefix}: {few}", mend="type more of it")
        entry = self.entry(keys[0]) if keys else None
        if entry is None:
            mend = "llm_calls.jsonl of a run lists its keys"
            raise UsageError(f'no key begins with "{prefix}"', where=str(self.folder), mend=mend)
        return entry

    def put(self, request: ChatRequest, response: ChatResponse, *, replace: bool = False) -> ChatResponse:
        """Store an answer; when this returns, it survives the death of the process.

        Returns the answer that is stored then: the one already there unless `replace`, so that of two processes that
        asked the same question at once both go on with the first answer.
        """
        row = _row(Entry(request.key, request.canonical(), request.purpose, response))
        if self._write([row], replace):
            _note(request.key, row[1])
            return response
        return self.get(request.key) or response

    def put_entries(self, entries: Iterable[Entry]) -> int:
        """Store all of `entries` or, when reading them raises, none. Keys already there stay.

        Returns the number added.
        """
        return self._write(map(_row, entries), replace=False)

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all entries, sorted; those that begin with `prefix`."""
        store = self._open()
        if store is None:
            return []
        statement = "SELECT key FROM Cache WHERE key >= ? AND key < ? ORDER BY key"
        try:
            rows = store.sql(statement, (prefix, prefix + "g")).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.folder) from None
        return [key for (key,) in rows if isinstance(key, str)]

    def entries(self) -> Iterator[Entry]:
        """All entries, by key. Raises CacheCorruptError at the first bad one."""
        for row in self._rows():
            try:
                yield entry_from(row.key, row.blob)
            except ValueError as error:
                raise self._corrupt(row.key, error) from None

    def similar(self, request: ChatRequest, most: int) -> list[Entry]:
        """At most `most` entries to compare with `request`, the latest of the narrowest circle that has any.

        The circles, by label: same model, schema and purpose; same model and schema; any. Bad entries are left out.
        """
        if (trace := current_trace()) is not None:
            trace.complete = False
        exact = label(request.canonical(), request.purpose)
        family = exact.partition(PURPOSE)[0] + PURPOSE
        circles = (("tag = ?", (exact,)), ("tag >= ? AND tag < ?", (family, family + "\uffff")), ("1", ()))
        for condition, values in circles:
            entries = []
            for row in self._rows(condition, values, "rowid DESC", most):
                with suppress(ValueError):
                    entries.append(entry_from(row.key, row.blob))
            if entries:
                return entries
        return []

    def refusals(self, provider: str, endpoint: str, model: str) -> set[str]:
        """Fields that this service refuses, by the labels of the answers it gave without them (`forms.REFUSED`)."""
        store, service = self._open(), f"{provider}|{model.partition('@')[0]}|"
        if store is None:
            return set()
        statement = "SELECT DISTINCT tag FROM Cache WHERE tag >= ? AND tag < ? AND instr(tag, '|refused=')"
        try:
            rows = store.sql(statement, (service, service + "\uffff")).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.folder) from None
        about = (dict(pair.partition("=")[::2] for pair in str(tag).split("|")) for (tag,) in rows)
        return {field for one in about if one.get("at") == endpoint for field in one["refused"].split()}

    def forget(self, keys: Iterable[str]) -> int:
        """Remove the entries of `keys` for good. Returns how many there were."""
        store, removed = self._open(), 0
        if store is None:
            return 0
        try:
            with store.transact():
                for key in keys:
                    removed += store.sql("DELETE FROM Cache WHERE key = ?", (key,)).rowcount
        except (diskcache.Timeout, sqlite3.Error, OSError) as error:
            store.forget_transaction()
            raise explain(_cause(error), self.folder) from None
        return removed

    def stats(self) -> CacheStats:
        """Counts and sums over all entries, as they were when last counted or stored since (`simulator.llm.totals`).

        Bad ones are counted, not raised.
        """
        store, totals = self._open(), None
        if store is not None:
            try:
                totals = read_totals(store)
            except sqlite3.Error as error:
                raise explain(error, self.folder) from None
        if totals is None:
            totals = self._count()
            if store is not None:
                try:
                    keep_totals(store, totals)
                except (diskcache.Timeout, sqlite3.Error):
                    store.forget_transaction()  # a file that may only be read
        sound = {place: total for place, total in totals.items() if place[1] != CORRUPT}
        outcomes: Counter[str] = Counter()
        models: Counter[str] = Counter()
        for (model, outcome), total in sound.items():
            models[model] += total.entries
            outcomes[outcome] += total.entries
        return CacheStats(
            entries=outcomes.total(),
            bytes=sum(path.stat().st_size for path in self.folder.glob("cache.db*")),
            corrupt=sum(total.entries for total in totals.values()) - outcomes.total(),
            outcomes=dict(sorted(outcomes.items())),
            models=dict(sorted(models.items())),
            prompt_tokens=sum(int(total.prompt_tokens) for total in sound.values()),
            completion_tokens=sum(int(total.completion_tokens) for total in sound.values()),
            cost_usd=sum(total.cost for total in sound.values()) / DOLLAR,
            first_asked=min((total.first for total in sound.values() if total.first), default=""),
            last_asked=max((total.last for total in sound.values()), default=""),
        )

    def _count(self) -> Totals:
        adding = Adding()
        for row in self._rows(order="rowid"):
            try:
                response = _response(row.key, row.blob)
            except ValueError:
                response = None
            adding.add(row.tag, response)
        return adding.totals

    def verify(self, *, repair: bool = False) -> Verification:
        """Read every entry and check it against its digest and its key.

        With `repair`, bad entries are moved as they are to ``quarantine.jsonl`` beside the cache; a file that is no
        database any more is moved aside whole after every good entry was taken over.
        """
        from simulator.llm.repair import verify

        return verify(self, repair=repair)

    def _open(self) -> Store | None:
        if self._store is None:
            self._store = attach(self.folder)
        return self._store

    def _read(self, key: str, parse: Callable[[str, bytes], P]) -> P | None:
        store = self._open()
        if store is None:
            _note(key, None)
            return None
        try:
            blob = store.blob(key)
            parsed = None if blob is None else parse(key, blob)
        except (RefusedRowError, ValueError) as error:
            raise self._corrupt(key, error) from None
        except sqlite3.Error as error:
            raise explain(error, self.folder) from None
        _note(key, blob)
        return parsed

    def _rows(
        self, where: str = "1", values: tuple[str, ...] = (), order: str = "key, raw", most: int = -1
    ) -> Iterator[StoredRow]:
        store = self._open()
        if store is None:
            return
        try:
            yield from store.rows(where, values, order, most)
        except sqlite3.Error as error:
            raise explain(error, self.folder) from None

    def _write(self, rows: Iterable[tuple[str, bytes, str, ChatResponse]], replace: bool) -> int:
        """Write (key, blob, label, answer) rows in one transaction. Returns how many were written."""
        if self._store is None:
            self._store = open_store(self.folder)
        store, written, adding = self._store, 0, Adding()
        write = store.set if replace else store.add
        try:
            with store.transact():
                for key, blob, tag, response in rows:
                    if write(key, blob, tag=tag):
                        written += 1
                        adding.add(tag, _as_read(response))
                if written and not replace:
                    add_totals(store, adding.totals)
        except (diskcache.Timeout, sqlite3.Error, OSError) as error:
            store.forget_transaction()
            raise explain(_cause(error), self.folder) from None
        return written

    def _corrupt(self, key: object, reason: object) -> CacheCorruptError:
        return CacheCorruptError(f"LLM cache entry {key} is corrupt ({reason})", where=str(self.folder), mend=REPAIR)


def label(request: Mapping[str, Any], purpose: Mapping[str, str]) -> str:
    """Label of a question, by which similar ones are found; nothing else depends on it.

    The digest that offline models carry behind ``@`` is left out: the question survives an edit of the rules.
    """
    schema = request.get("schema") or {}
    model = str(request.get("model")).partition("@")[0]
    about = "|".join(f"{name}={purpose[name]}" for name in sorted(purpose))
    if "refused" in purpose:
        about += f"|at={request.get('endpoint')}"
    return f"{request.get('provider')}|{model}|{schema.get('title', '')}{PURPOSE}{about}"


def pack(entry: Entry) -> bytes:
    """Bytes of an entry, as the head of this module describes them."""
    question = canonical_json({"purpose": dict(entry.purpose), "request": entry.request})
    # Level 1, the fastest: prompts repeat themselves so much that any level will do.
    body = canonical_json(response_json(entry.response)) + b"\n" + zlib.compress(question, 1)
    return digest(entry.key, body) + b"\n" + body


def _row(entry: Entry) -> tuple[str, bytes, str, ChatResponse]:
    return entry.key, pack(entry), label(entry.request, entry.purpose), entry.response


def _as_read(response: ChatResponse) -> ChatResponse | None:
    """The answer as it will be read: of numbers that cannot be nothing is believed. None where it is no answer then."""
    try:
        return response_from(response_json(response))
    except ValueError:
        return None


def unpack(key: str, blob: bytes) -> tuple[bytes, bytes]:
    """Return (answer as JSON, question as packed JSON). Raises ValueError when a byte differs from what was stored."""
    head, _, body = blob.partition(b"\n")
    if head != digest(key, body):
        raise ValueError("does not match its digest")
    answer, _, question = body.partition(b"\n")
    return answer, question


def _digest_of(blob: bytes) -> str:
    return blob.partition(b"\n")[0].decode()


def _note(key: str, blob: bytes | None) -> None:
    if (trace := current_trace()) is not None:
        trace.answers[key] = None if blob is None else _digest_of(blob)


def digest(key: str, body: bytes) -> bytes:
    found = hashlib.sha256(key.encode() + b"\n")
    found.update(body)
    return found.hexdigest().encode()


def entry_from(key: Any, blob: bytes | RefusedRowError) -> Entry:
    """Parse the bytes of an entry. Raises ValueError: refused row, wrong digest, request whose sha256 is not `key`."""
    if isinstance(blob, RefusedRowError):
        raise ValueError(str(blob))
    answer, packed = unpack(key, blob)
    try:
        question = json.loads(zlib.decompress(packed))
        return parse_entry({"key": key, "response": json.loads(answer), **question})
    except (zlib.error, TypeError) as error:
        raise ValueError(f"question cannot be unpacked ({error})") from None


def parse_entry(content: Any, *, from_outside: bool = False) -> Entry:
    """Parse the JSON of `Entry.to_json`. Raises ValueError: wrong shape, a key not of its request, or `from_outside`
    numbers that cannot be."""
    if not isinstance(content, dict) or not all(isinstance(content.get(name), dict) for name in ("request", "purpose")):
        raise ValueError("is not an entry of key, purpose, request and response")
    key, request, purpose = content.get("key"), content["request"], content["purpose"]
    if hashlib.sha256(canonical_json(request)).hexdigest() != key:
        raise ValueError("key does not match its request")
    if not request.keys() >= {"provider", "model", "messages"} or not all(isinstance(v, str) for v in purpose.values()):
        raise ValueError("request or purpose is not whole")
    purpose = {whole(name): whole(value) for name, value in purpose.items()}
    return Entry(str(key), request, purpose, response_from(content.get("response"), from_outside=from_outside))


def response_json(response: ChatResponse) -> dict[str, Any]:
    """JSON-able fields of a response. `dataclasses.asdict` takes ten times as long."""
    return {**vars(response), "usage": response.usage.to_json()}


def response_from(content: Any, *, from_outside: bool = False) -> ChatResponse:
    """Parse the JSON of a response's fields. Raises ValueError for any other shape.

    Numbers that earlier versions stored as services reported them are read as 0 where they cannot be; those of an entry
    `from_outside` are refused.
    """
    try:
        response = ChatResponse(**{**content, "usage": Usage(**content["usage"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"answer is not whole ({error})") from None
    numbers = {**vars(response.usage), "latency_s": response.latency_s}
    texts = (response.text, response.model, response.asked_at, response.finish)
    if (
        response.outcome not in OUTCOMES
        or not all(type(text) is str for text in texts)
        or not all(type(number) in (int, float) and -math.inf < number < math.inf for number in numbers.values())
    ):
        raise ValueError("answer has a field of the wrong type")
    # Texts to be read stay as they are: a repair question shows them, and its key is made of it.
    text = whole(response.text) if response.outcome == "refusal" else response.text
    response = replace(response, text=text, model=whole(response.model), finish=whole(response.finish))
    # Compared, never converted: a whole number of a thousand digits is no float.
    wrong = [name for name, number in numbers.items() if not 0 <= number <= MOST[name]]
    if not wrong:
        return response
    if from_outside:
        raise ValueError(f"{wrong[0]} was {str(numbers[wrong[0]])[:20]}, not between 0 and {MOST[wrong[0]]:,}")
    believed = {**numbers, **dict.fromkeys(wrong, 0)}
    return replace(response, latency_s=believed.pop("latency_s"), usage=Usage(**believed))


def _response(key: Any, blob: bytes | RefusedRowError) -> ChatResponse:
    if isinstance(blob, RefusedRowError):
        raise ValueError(str(blob))
    return response_from(json.loads(unpack(key, blob)[0]))


def _cause(error: BaseException) -> BaseException:
    """The first error: diskcache answers a full disk with a ROLLBACK that fails too."""
    if isinstance(error, sqlite3.Error) and isinstance(error.__context__, sqlite3.Error):
        return _cause(error.__context__)
    return error
