"""Answers come back as they were stored, from any process, and nothing is ever dropped."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import LLMError
from simulator.llm.cache import AnswerCache, response_from, response_json
from simulator.llm.messages import ChatRequest, ChatResponse, Usage

Ask = Callable[..., ChatRequest]
Drop = Callable[[], AbstractContextManager[None]]

responses = st.builds(
    ChatResponse,
    text=st.text(),
    outcome=st.sampled_from(["answer", "refusal", "unusable"]),
    model=st.text(max_size=10),
    usage=st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 100)),
    latency_s=st.floats(0, 600),
    asked_at=st.just("2026-01-01T00:00:00Z"),
)


@given(response=responses)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_an_answer_comes_back_as_it_was_stored(cache: AnswerCache, ask: Ask, response: ChatResponse) -> None:
    cache.put(ask(), response, replace=True)
    assert cache.get(ask().key) == response


def test_a_text_with_half_a_surrogate_pair_comes_back(cache: AnswerCache, ask: Ask) -> None:
    cache.put(ask(), ChatResponse("cut \ud83d"))
    assert cache.get(ask().key) == ChatResponse("cut \ud83d")


def test_what_was_never_asked_is_none_and_reading_makes_no_folder(cache: AnswerCache, ask: Ask, folder: Path) -> None:
    assert cache.get(ask().key) is None
    assert cache.entry(ask().key) is None
    assert (cache.keys(), cache.stats().entries, cache.verify().entries) == ([], 0, 0)
    assert not folder.exists()


def test_an_entry_carries_question_purpose_and_answer(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask(), yes)
    entry = cache.entry(ask().key)
    assert entry is not None
    assert (entry.request, entry.purpose, entry.response) == (ask().canonical(), ask().purpose, yes)


def test_the_first_answer_stands_and_is_what_a_second_writer_gets(
    cache: AnswerCache, ask: Ask, yes: ChatResponse
) -> None:
    no = ChatResponse("no")
    assert cache.put(ask(), yes) == yes
    assert cache.put(ask(), no) == yes
    assert cache.put(ask(), no, replace=True) == no
    assert cache.get(ask().key) == no


def test_the_stored_bytes_are_json_that_three_lines_of_python_read(
    cache: AnswerCache, ask: Ask, yes: ChatResponse
) -> None:
    cache.put(ask(), yes)
    blob = cache._store.blob(ask().key)  # type: ignore[union-attr]
    assert blob is not None
    _, answer, question = blob.split(b"\n", 2)
    assert json.loads(answer)["text"] == "yes"
    assert json.loads(zlib.decompress(question)) == {"purpose": ask().purpose, "request": ask().canonical()}


def test_nothing_is_evicted_however_much_there_is(cache: AnswerCache, ask: Ask) -> None:
    wanted = sorted(ask(str(i)).key for i in range(2500))
    for i in range(2500):
        cache.put(ask(str(i)), ChatResponse(str(i)))
    assert cache.keys() == wanted
    assert all(cache.get(ask(str(i)).key) == ChatResponse(str(i)) for i in range(2500))


def test_an_answer_of_five_megabytes_is_kept_in_the_database(cache: AnswerCache, ask: Ask, folder: Path) -> None:
    long = ChatResponse("x" * 5_000_000)
    cache.put(ask(), long)
    assert cache.get(ask().key) == long
    assert {path.name for path in folder.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_stats_count_models_outcomes_tokens_and_dollars(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask("1"), yes)
    cache.put(ask("2"), replace(yes, asked_at="2026-03-01T00:00:00Z"))
    cache.put(ask("3", seat="risk"), ChatResponse("", outcome="refusal"))
    stats = cache.stats()
    assert (stats.entries, stats.corrupt, stats.cost_usd) == (3, 0, 0.5)
    assert stats.models == {"told/risk": 1, "told/trend": 2}
    assert stats.outcomes == {"answer": 2, "refusal": 1}
    assert (stats.prompt_tokens, stats.completion_tokens) == (200, 20)
    assert (stats.first_asked, stats.last_asked) == ("2026-01-02T03:04:05Z", "2026-03-01T00:00:00Z")


@pytest.mark.parametrize("name", ["with space", "$HOME", "~", "ünïcode?#%20", "quote'"])
def test_the_folder_may_be_called_anything(tmp_path: Path, ask: Ask, yes: ChatResponse, name: str) -> None:
    for _ in range(2):
        with AnswerCache(tmp_path / name) as cache:
            cache.put(ask(), yes)
            assert cache.get(ask().key) == yes
    assert (tmp_path / name / "cache.db").is_file()


WRITER = """
import sys
from pathlib import Path
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message
with AnswerCache(Path(sys.argv[1])) as cache:
    for i in range(150):
        for text in (f"shared {i}", f"own {sys.argv[2]} {i}"):
            cache.put(ChatRequest("told", "m", (Message("user", text),)), ChatResponse(sys.argv[2]))
"""


def test_processes_that_begin_and_write_at_once_lose_nothing(folder: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, folder, str(n)]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    with AnswerCache(folder) as cache:
        assert len(cache.keys()) == 150 + 4 * 150
        assert cache.verify().bad == ()
    assert not list(folder.glob(".cache-*"))


def test_an_open_cache_sees_what_another_process_writes(
    cache: AnswerCache, folder: Path, ask: Ask, yes: ChatResponse
) -> None:
    cache.put(ask(), yes)
    subprocess.run([sys.executable, "-c", WRITER, folder, "0"], check=True)
    assert len(cache.keys()) == 301


def test_a_closed_cache_in_a_read_only_folder_is_read_and_left_as_it_is(
    public_folder: Path, ask: Ask, yes: ChatResponse, without_rights: Drop
) -> None:
    with AnswerCache(public_folder / "c") as cache:
        cache.put(ask(), yes)
    (public_folder / "c").chmod(0o555)
    (public_folder / "c" / "cache.db").chmod(0o444)
    with without_rights(), AnswerCache(public_folder / "c") as cache:
        assert cache.get(ask().key) == yes
        assert cache.verify().entries == 1
        with pytest.raises(LLMError, match=r"read-only.*--cache replay") as caught:
            cache.put(ask("other"), yes)
        assert "\n" not in str(caught.value)
        assert cache.get(ask().key) == yes
    assert [path.name for path in (public_folder / "c").iterdir()] == ["cache.db"]


def test_a_read_only_folder_with_an_open_journal_is_refused_rather_than_half_read(
    public_folder: Path, ask: Ask, yes: ChatResponse, without_rights: Drop
) -> None:
    with AnswerCache(public_folder / "c") as cache:
        cache.put(ask(), yes)
        journal = (public_folder / "c" / "cache.db-wal").read_bytes()
    (public_folder / "c" / "cache.db-wal").write_bytes(journal)
    (public_folder / "c").chmod(0o555)
    with without_rights(), AnswerCache(public_folder / "c") as cache, pytest.raises(LLMError, match="cannot be used"):
        cache.get(ask().key)


def test_an_unwritable_folder_is_one_line_and_exit_code_4(
    public_folder: Path, ask: Ask, yes: ChatResponse, without_rights: Drop
) -> None:
    public_folder.chmod(0o555)
    with without_rights(), AnswerCache(public_folder / "c") as cache:
        with pytest.raises(LLMError, match="Permission denied") as caught:
            cache.put(ask(), yes)
        assert str(public_folder) in str(caught.value)
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path, ask: Ask, yes: ChatResponse) -> None:
    (tmp_path / "file").write_text("")
    with AnswerCache(tmp_path / "file") as cache, pytest.raises(LLMError, match="cannot be used"):
        cache.put(ask(), yes)


def test_a_full_database_is_one_line_and_what_was_stored_stays(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask("first"), yes)
    pages = cache._store.sql("PRAGMA page_count").fetchone()[0]  # type: ignore[union-attr]
    cache._store.sql(f"PRAGMA max_page_count = {pages + 2}")  # type: ignore[union-attr]
    with pytest.raises(LLMError, match="database or disk is full") as caught:
        cache.put(ask("long"), ChatResponse("x" * 100_000))
    assert "make room" in str(caught.value)
    assert cache.get(ask("first").key) == yes
    assert cache.verify().bad == ()
    # The limit was that of one connection: with room again, writing goes on.
    cache.put(ask("again"), yes)
    assert cache.get(ask("again").key) == yes


def test_after_a_commit_that_failed_writing_goes_on(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask("first"), yes)

    def refuse_commit(action: int, word: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (action, word) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    assert cache._store is not None
    cache._store._con.set_authorizer(refuse_commit)
    with pytest.raises(LLMError, match="not authorized"):
        cache.put(ask("second"), yes)
    assert cache.get(ask("second").key) is None
    cache.put(ask("second"), yes)
    assert cache.keys() == sorted([ask("first").key, ask("second").key])


FILLER = """
import sys
from pathlib import Path
from simulator.errors import LLMError
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message
if sys.argv[2] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
import os
with AnswerCache(Path(sys.argv[1])) as cache:
    try:
        for i in range(1000):
            cache.put(ChatRequest("told", "m", (Message("user", str(i)),)), ChatResponse(os.urandom(3000).hex()))
            print(i, flush=True)
    except LLMError as error:
        assert chr(10) not in str(error)
        print("error", error, file=sys.stderr)
        cache.put(ChatRequest("told", "m", (Message("user", "0"),)), ChatResponse("kept"))
        sys.exit(error.exit_code)
"""


def _fill(folder: Path, how: str) -> tuple[int, str]:
    """(acknowledged writes, error line) of a process that writes until the disk says no."""
    done = subprocess.run([sys.executable, "-c", FILLER, folder, how], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    return len(done.stdout.split()), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
def test_a_file_size_limit_is_one_line_and_leaves_the_cache_sound(folder: Path) -> None:
    written, said = _fill(folder, "limit")
    assert "error" in said
    assert written > 5
    with AnswerCache(folder) as cache:
        assert cache.verify().bad == ()
        assert len(cache.keys()) >= written


@pytest.fixture
def tiny_disk(tmp_path: Path) -> object:
    """A disk of 600 KB, where the machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    try:
        mounted = os.name == "posix" and not subprocess.run(mount, capture_output=True, check=False).returncode
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("cannot mount a disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_line_and_leaves_the_cache_sound(tiny_disk: Path) -> None:
    written, said = _fill(tiny_disk / "cache", "disk")
    assert "error" in said
    assert written > 5
    with AnswerCache(tiny_disk / "cache") as cache:
        assert cache.verify().bad == ()
        assert len(cache.keys()) >= written


def test_a_disk_too_full_to_begin_on_leaves_no_file(tiny_disk: Path, ask: Ask, yes: ChatResponse) -> None:
    (tiny_disk / "ballast").write_bytes(b"x" * 596 * 1024)
    with AnswerCache(tiny_disk) as cache, pytest.raises(LLMError, match="No space left"):
        cache.put(ask(), yes)
    assert [path.name for path in tiny_disk.iterdir()] == ["ballast"]


def test_a_cache_of_a_later_format_is_not_touched(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask(), yes)
    cache._store.sql("PRAGMA user_version = 99")  # type: ignore[union-attr]
    cache.close()
    with pytest.raises(LLMError, match="format 99"):
        cache.get(ask().key)


@pytest.mark.parametrize(
    "change",
    [{"text": 1}, {"outcome": "maybe"}, {"usage": {}}, {"usage": None}, {"latency_s": float("nan")}, {"more": 1}],
)
def test_a_response_of_another_shape_is_refused(yes: ChatResponse, change: dict[str, object]) -> None:
    content = {**response_json(yes), **change}
    if change == {"usage": {}}:
        assert response_from(content).usage == Usage()
    else:
        with pytest.raises(ValueError, match="answer"):
            response_from(content)
