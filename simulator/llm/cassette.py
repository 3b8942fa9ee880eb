"""Cassettes: answers as text to read, share and put under version control, one JSON object a line, sorted by key.

    {"key":…,"purpose":{…},"request":{…},"response":{…}}

The key is the sha256 of the request: a changed question shows in its own line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import CacheCorruptError, CacheMissError, LLMError, UsageError
from simulator.files import name_aside, open_regular, sweep
from simulator.llm.cache import AnswerCache, Entry, parse_entry
from simulator.llm.messages import canonical_json


@dataclass(frozen=True)
class Imported:
    """Numbers of entries read from a cassette and, of these, added to the cache. Those already there stay."""

    read: int
    added: int


def write_cassette(cache: AnswerCache, path: Path, keys: Iterable[str] | None = None) -> int:
    """Write all entries of `cache`, or those of `keys`, to `path`; it appears whole or not at all. Returns how many.

    Raises CacheMissError for keys the cache does not hold, LLMError where `path` cannot be written.
    """
    entries = cache.entries() if keys is None else _chosen(cache, sorted(set(keys)))
    count = 0
    fresh: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        fresh = name_aside(path)
        with fresh.open("xb") as out:
            for entry in entries:
                out.write(canonical_json(entry.to_json()) + b"\n")
                count += 1
            out.flush()
            os.fsync(out.fileno())
        fresh.chmod(0o644)
        os.replace(fresh, path)
    except OSError as error:
        raise LLMError(f"cannot be written ({error.strerror})", where=str(path), mend="name another file") from None
    finally:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
    return count


def read_cassette(cache: AnswerCache, path: Path) -> Imported:
    """Add every entry of `path` to `cache`, or none of them.

    Raises CacheCorruptError naming the line that is no entry or whose key is not the sha256 of its request,
    UsageError for a file that cannot be read.
    """
    read = 0

    def entries() -> Iterator[Entry]:
        nonlocal read
        for entry in _entries(path):
            read += 1
            yield entry

    added = cache.put_entries(entries())
    return Imported(read, added)


def _chosen(cache: AnswerCache, keys: list[str]) -> Iterator[Entry]:
    for key in keys:
        entry = cache.entry(key)
        if entry is None:
            mend = "`sim run` with the same options asks again"
            raise CacheMissError(f"no stored answer to question {key}", where=str(cache.folder), mend=mend)
        yield entry


def _entries(path: Path) -> Iterator[Entry]:
    try:
        with open_regular(path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = parse_entry(json.loads(line), from_outside=True)
                except (ValueError, RecursionError) as error:
                    mend = "nothing was imported; export it again"
                    raise CacheCorruptError(str(error), where=f"{path}:{number}", mend=mend) from None
                yield entry
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path)) from None
