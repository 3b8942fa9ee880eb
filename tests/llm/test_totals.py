"""Totals of the cache stand beside its entries, and are counted again whenever they might not be theirs."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.llm import repair
from simulator.llm.cache import AnswerCache, Entry, canonical_json, digest, pack
from simulator.llm.messages import ChatRequest, ChatResponse, Usage

Ask = Callable[..., ChatRequest]


def change(folder: Path, *statements: str) -> None:
    """What a program of another kind does to the file."""
    with sqlite3.connect(folder / "cache.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def counted(folder: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "cache.db") as db:
        rows = db.execute("SELECT model, outcome, entries FROM Totals ORDER BY model, outcome").fetchall()
    db.close()
    return rows


@pytest.fixture
def filled(folder: Path, ask: Ask, yes: ChatResponse) -> Path:
    with AnswerCache(folder) as cache:
        for number in range(5):
            cache.put(ask(str(number)), replace(yes, asked_at=f"2026-01-0{number + 1}T00:00:00Z" if number else ""))
        cache.put(ask("no", seat="risk"), ChatResponse("", outcome="refusal", usage=Usage(cost_usd=0.1)))
    return folder


def test_stats_read_a_few_rows_and_say_what_all_entries_say(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnswerCache(filled) as cache:
        monkeypatch.setattr(AnswerCache, "_count", None)
        kept = cache.stats()
        assert (kept.entries, kept.corrupt, kept.cost_usd) == (6, 0, 1.35)
        assert (kept.models, kept.outcomes) == ({"told/risk": 1, "told/trend": 5}, {"answer": 5, "refusal": 1})
        assert (kept.first_asked, kept.last_asked) == ("2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z")
        monkeypatch.undo()
        change(filled, "DELETE FROM Totals")
        assert replace(cache.stats(), bytes=kept.bytes) == kept
    assert counted(filled) == [("told/risk", "refusal", 1), ("told/trend", "answer", 5)]


@pytest.mark.parametrize(
    ("statements", "entries", "corrupt"),
    [
        (["UPDATE Cache SET value = X'00' WHERE rowid = 2"], 5, 1),
        (["UPDATE Cache SET expire_time = 1 WHERE rowid = 2"], 5, 1),
        (["DELETE FROM Cache WHERE rowid < 3"], 4, 0),
        (["INSERT INTO Cache (key, raw, mode, value) VALUES ('forged', 1, 1, X'00')"], 6, 1),
        (["DROP TRIGGER Totals_update", "DROP TRIGGER Totals_delete", "DROP TABLE Totals"], 6, 0),
    ],
)
def test_what_others_do_to_the_file_is_counted(
    filled: Path, ask: Ask, yes: ChatResponse, statements: list[str], entries: int, corrupt: int
) -> None:
    change(filled, *statements)
    with AnswerCache(filled) as cache:
        for _ in range(2):
            assert (cache.stats().entries, cache.stats().corrupt) == (entries, corrupt)
        # A file of an older version gets its totals with the next answer.
        cache.put(ask("more"), yes)
        assert cache.stats().entries == entries + 1
        cache.put(ask("1"), ChatResponse("other"), replace=True)
        cache.forget([ask("no", seat="risk").key])
        assert cache.stats().outcomes == {"answer": cache.stats().entries}


FORGED: dict[str, Callable[[dict[str, object], dict[str, object]], object]] = {
    "no messages": lambda request, _: request.pop("messages"),
    "no model": lambda request, _: request.pop("model"),
    "another outcome": lambda _, answer: answer.update(outcome="perhaps"),
    "text that is none": lambda _, answer: answer.update(text=7),
    "a number that is none": lambda _, answer: answer.update(latency_s="x"),
    "a field too many": lambda _, answer: answer.update(more=1),
    "no usage": lambda _, answer: answer.pop("usage"),
    "usage too large for a float": lambda _, answer: answer.update(latency_s=10**400),
}


@pytest.mark.parametrize("name", FORGED)
def test_the_quick_check_finds_what_the_long_one_finds(ask: Ask, yes: ChatResponse, name: str) -> None:
    request = ask().canonical()
    answer = json.loads(pack(Entry(ask().key, request, {}, yes)).split(b"\n")[1])
    FORGED[name](request, answer)
    key = hashlib.sha256(canonical_json(request)).hexdigest()
    question = canonical_json({"purpose": {"stage": "pitch"}, "request": request})
    body = canonical_json(answer) + b"\n" + zlib.compress(question, 1)
    blob = digest(key, body) + b"\n" + body
    if name == "usage too large for a float":
        repair._check_entry(key, blob)  # read as 0, like every number that cannot be
        return
    with pytest.raises(ValueError, match=r"not whole|wrong type"):
        repair._check_entry(key, blob)


def test_a_question_that_is_not_that_of_its_key_is_found(ask: Ask, yes: ChatResponse) -> None:
    good = pack(Entry(ask().key, ask().canonical(), {"stage": 'a "quoted" },"request": label'}, yes))
    repair._check_entry(ask().key, good)
    other = pack(Entry(ask().key, ask("sell?").canonical(), {}, yes))
    with pytest.raises(ValueError, match="key does not match its request"):
        repair._check_entry(ask().key, other)
    for place in (70, 150, len(good) - 3):
        torn = bytes([*good[:place], good[place] ^ 1, *good[place + 1 :]])
        with pytest.raises(ValueError, match="does not match its digest"):
            repair._check_entry(ask().key, torn)
