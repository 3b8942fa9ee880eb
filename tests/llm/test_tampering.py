"""Whatever is done to the file of the cache: no code runs, no entry is silently missed, `verify` mends it."""

from __future__ import annotations

import base64
import json
import os
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import diskcache
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import CacheCorruptError
from simulator.llm.cache import AnswerCache, Entry, pack
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.storage import BytesDisk, RefusedRowError, Store

Ask = Callable[..., ChatRequest]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[bytes]:
    """A pickle. The test fails when anything unpickles it."""
    crater = tmp_path / "crater"
    planted = pickle.dumps(Bomb(crater))
    pickle.loads(planted)
    assert crater.is_dir(), "the bomb must work"
    crater.rmdir()
    yield planted
    assert not crater.exists()


@pytest.fixture
def filled(cache: AnswerCache, ask: Ask, folder: Path) -> Path:
    """The file of a closed cache with the questions 0 to 4."""
    for i in range(5):
        cache.put(ask(str(i)), ChatResponse(f"answer {i}"))
    cache.close()
    return folder / "cache.db"


def tamper(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()


def expect_corrupt(cache: AnswerCache, key: str) -> None:
    with pytest.raises(CacheCorruptError) as caught:
        cache.get(key)
    assert "`sim cache verify --repair`" in str(caught.value)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(CacheCorruptError):
        cache.entry(key)
    assert [bad.key for bad in cache.verify().bad] == [key]


@pytest.mark.parametrize("mode", [-1, 0, 2, 3, 4, 5, None, "4", b"4", 1.5])
def test_a_pickle_is_not_read_in_any_storage_mode(
    cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes, mode: object
) -> None:
    key = ask("2").key
    tamper(filled, "UPDATE Cache SET mode = ?, value = ? WHERE key = ?", mode, bomb, key)
    expect_corrupt(cache, key)


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
def test_a_file_named_by_a_row_is_neither_read_nor_removed(
    cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes, mode: int
) -> None:
    key, planted = ask("2").key, filled.parent / "planted.val"
    planted.write_bytes(bomb)
    tamper(filled, "UPDATE Cache SET mode = ?, value = NULL, filename = 'planted.val' WHERE key = ?", mode, key)
    expect_corrupt(cache, key)
    cache.put(ask("2"), ChatResponse("asked again"), replace=True)
    assert planted.read_bytes() == bomb
    assert cache.get(key) == ChatResponse("asked again")


def test_a_pickle_in_mode_raw_is_bytes_with_a_wrong_digest(
    cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes
) -> None:
    tamper(filled, "UPDATE Cache SET value = ? WHERE key = ?", bomb, ask("2").key)
    expect_corrupt(cache, ask("2").key)


def test_a_pickled_key_is_not_read(cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes) -> None:
    tamper(filled, "UPDATE Cache SET key = ?, raw = 0 WHERE key = ?", bomb, ask("2").key)
    assert len(cache.keys()) == 4
    (bad,) = cache.verify().bad
    assert "raw was 0" in bad.reason
    with pytest.raises(CacheCorruptError):
        list(cache.entries())


@pytest.mark.parametrize("name", ["disk_pickle_protocol", "disk_fetch", "sqlite_user_version", "eviction_policy", "x"])
def test_settings_planted_in_the_file_change_nothing(
    cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes, name: str
) -> None:
    tamper(filled, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, bomb)
    tamper(filled, "UPDATE Settings SET value = 1 WHERE key IN ('cull_limit', 'size_limit', 'statistics')")
    for i in range(5, 50):
        cache.put(ask(str(i)), ChatResponse(f"answer {i}"))
    assert [cache.get(ask(str(i)).key) for i in range(50)] == [ChatResponse(f"answer {i}") for i in range(50)]


def test_the_disk_refuses_pickles_even_when_diskcache_itself_is_asked(filled: Path, ask: Ask, bomb: bytes) -> None:
    tamper(filled, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", bomb, ask("1").key)
    tamper(filled, "UPDATE Cache SET key = ?, raw = 0 WHERE key = ?", bomb, ask("2").key)
    with closing(Store(filled.parent)) as store:
        for attempt in (
            lambda: store.get(ask("1").key),
            lambda: store.get(("a", "tuple")),
            lambda: store[ask("1").key],
            lambda: store.pop(ask("1").key),
            lambda: store.set(ask("3").key, {"an": "object"}),
            lambda: list(store),
            lambda: list(store.iterkeys()),
        ):
            with pytest.raises(RefusedRowError):
                attempt()


def test_the_disk_has_no_method_of_its_parent_that_could_unpickle_or_write_a_file() -> None:
    reaching = {name for name in vars(diskcache.Disk) if not name.startswith("__")} - {"hash", "_write"}
    assert reaching <= set(vars(BytesDisk))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("raw = 0", "raw was 0"),
        ("raw = NULL", "raw was None"),
        ("expire_time = 1.0", "expiry"),
        ("expire_time = 99999999999.0", "expiry"),
        ("value = NULL", "NoneType"),
        ("value = 'text'", "str"),
        ("value = 12", "int"),
        ("value = x''", "digest"),
        ("value = substr(value, 1, length(value) - 1)", "digest"),
        ("value = value || x'00'", "str"),
        ("value = CAST(value || x'00' AS BLOB)", "digest"),
        ("value = (SELECT value FROM Cache ORDER BY rowid LIMIT 1)", "digest"),
    ],
)
def test_a_changed_row_is_an_error_and_never_a_miss(
    cache: AnswerCache, filled: Path, ask: Ask, change: str, said: str
) -> None:
    key = ask("2").key
    tamper(filled, f"UPDATE Cache SET {change} WHERE key = ?", key)
    expect_corrupt(cache, key)
    assert said in cache.verify().bad[0].reason


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_one_flipped_bit_anywhere_in_an_entry_is_an_error(
    cache: AnswerCache, ask: Ask, yes: ChatResponse, position: int, bit: int
) -> None:
    request = ask()
    blob = bytearray(pack(Entry(request.key, request.canonical(), request.purpose, yes)))
    blob[position % len(blob)] ^= 1 << bit
    cache.put(request, yes, replace=True)
    assert cache._store is not None
    cache._store.set(request.key, bytes(blob))
    with pytest.raises(CacheCorruptError):
        cache.get(request.key)


@pytest.mark.fault(
    "disk",
    "a stored answer stands under the key of another question",
    "`sim cache verify` names the entry",
    since="0.1",
)
def test_an_entry_under_the_key_of_another_question_is_found_by_verify(
    cache: AnswerCache, filled: Path, ask: Ask, yes: ChatResponse
) -> None:
    key = ask("2").key
    forged = pack(Entry(key, ask("another").canonical(), {}, yes))
    tamper(filled, "UPDATE Cache SET value = ? WHERE key = ?", forged, key)
    assert [(bad.key, bad.reason) for bad in cache.verify().bad] == [(key, "key does not match its request")]


def test_repair_moves_bad_rows_aside_as_they_were_and_keeps_the_others(
    cache: AnswerCache, filled: Path, ask: Ask, bomb: bytes
) -> None:
    tamper(filled, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", bomb, ask("2").key)
    tamper(filled, "UPDATE Cache SET value = 'lost' WHERE key = ?", ask("3").key)
    done = cache.verify(repair=True)
    assert (done.entries, len(done.bad)) == (3, 2)
    assert done.quarantine == filled.parent / "quarantine.jsonl"
    rows = {line["row"]["key"]: line["row"] for line in map(json.loads, done.quarantine.read_text().splitlines())}
    assert base64.b64decode(rows[ask("2").key]["value"]["base64"]) == bomb
    assert rows[ask("3").key]["value"] == "lost"
    assert cache.verify().bad == ()
    assert cache.get(ask("2").key) is None
    assert cache.get(ask("4").key) == ChatResponse("answer 4")
    assert cache.verify(repair=True).quarantine is None


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_an_error_and_is_moved_aside(
    cache: AnswerCache, filled: Path, ask: Ask, content: bytes
) -> None:
    filled.write_bytes(content)
    with pytest.raises(CacheCorruptError, match="verify --repair"):
        cache.get(ask("1").key)
    assert [bad.key for bad in cache.verify().bad] == ["cache.db"]
    done = cache.verify(repair=True)
    assert done.quarantine is not None
    assert done.quarantine.read_bytes() == content
    assert cache.get(ask("1").key) is None
    cache.put(ask("1"), ChatResponse("asked again"))
    assert cache.verify().bad == ()


def test_repair_of_a_file_with_a_torn_page_keeps_every_entry_outside_it(
    cache: AnswerCache, ask: Ask, folder: Path
) -> None:
    for i in range(400):
        cache.put(ask(str(i)), ChatResponse(f"answer {i} " + "x" * 200))
    cache.close()
    torn = bytearray((folder / "cache.db").read_bytes())
    middle = len(torn) // 2 // 4096 * 4096
    torn[middle : middle + 4096] = os.urandom(4096)
    (folder / "cache.db").write_bytes(bytes(torn))
    assert cache.verify().bad
    done = cache.verify(repair=True)
    assert done.quarantine == folder / "quarantine-1.db"
    assert done.quarantine.read_bytes()[middle : middle + 4096] == torn[middle : middle + 4096]
    assert 380 <= done.entries < 400
    checked = cache.verify()
    assert (checked.entries, checked.bad) == (done.entries, ())


def test_a_journal_without_its_database_is_not_applied_to_a_new_one(
    cache: AnswerCache, ask: Ask, yes: ChatResponse, folder: Path
) -> None:
    cache.put(ask(), yes)
    journal = (folder / "cache.db-wal").read_bytes()
    cache.close()
    (folder / "cache.db").unlink()
    (folder / "cache.db-wal").write_bytes(journal)
    with pytest.raises(CacheCorruptError, match="verify --repair"):
        cache.put(ask(), yes)
    assert cache.verify(repair=True).quarantine is not None
    cache.put(ask(), yes)
    assert cache.get(ask().key) == yes
