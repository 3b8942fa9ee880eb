"""Cassettes carry answers to another cache, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.errors import CacheCorruptError, CacheMissError, LLMError, UsageError
from simulator.llm.cache import AnswerCache
from simulator.llm.cassette import Imported, read_cassette, write_cassette
from simulator.llm.messages import ChatRequest, ChatResponse, Usage

Ask = Callable[..., ChatRequest]


@pytest.fixture
def tape(cache: AnswerCache, ask: Ask, tmp_path: Path) -> Path:
    """A cassette of ten answers, half a surrogate pair among them."""
    for i in range(10):
        cache.put(ask(str(i)), ChatResponse(f"answer {i} é \ud83d"))
    write_cassette(cache, tmp_path / "deep" / "tape.jsonl")
    return tmp_path / "deep" / "tape.jsonl"


def test_a_cassette_fills_another_cache_with_the_same_entries(tape: Path, cache: AnswerCache, tmp_path: Path) -> None:
    with AnswerCache(tmp_path / "other") as other:
        assert read_cassette(other, tape) == Imported(10, 10)
        assert read_cassette(other, tape) == Imported(10, 0)
        assert list(other.entries()) == list(cache.entries())
        write_cassette(other, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == tape.read_bytes()


def test_lines_are_readable_json_sorted_by_key(tape: Path, ask: Ask) -> None:
    lines = [json.loads(line) for line in tape.read_bytes().splitlines()]
    assert [line["key"] for line in lines] == sorted(ask(str(i)).key for i in range(10))
    assert lines[0]["request"]["messages"][0] == {"role": "system", "content": "You manage money."}
    assert [path.name for path in tape.parent.iterdir()] == ["tape.jsonl"]


def test_some_keys_only(tape: Path, cache: AnswerCache, ask: Ask) -> None:
    assert write_cassette(cache, tape, [ask("3").key, ask("1").key, ask("3").key]) == 2
    with pytest.raises(CacheMissError, match=ask("never").key):
        write_cassette(cache, tape, [ask("3").key, ask("never").key])
    assert len(tape.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"content":"7"', '"content":"8"', "key does not match its request"),
        ('"content":"7"', '"content":"7', "line 1 column"),
        ('"outcome":"answer"', '"outcome":"perhaps"', "answer has a field of the wrong type"),
        ('"purpose":', '"porpoise":', "is not an entry"),
        ('"temperature":null,', "", "key does not match its request"),
    ],
)
def test_a_line_that_was_changed_is_named_and_nothing_is_imported(
    tape: Path, ask: Ask, tmp_path: Path, old: str, new: str, said: str
) -> None:
    lines = tape.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines, 1) if ask("7").key in line)
    lines[number - 1] = lines[number - 1].replace(old, new)
    tape.write_text("\n".join(lines), encoding="utf-8")
    with AnswerCache(tmp_path / "other") as other:
        with pytest.raises(CacheCorruptError) as caught:
            read_cassette(other, tape)
        assert other.keys() == []
    assert f"tape.jsonl:{number}: " in str(caught.value)
    assert said in str(caught.value)


def test_answers_already_there_stay(tape: Path, ask: Ask, tmp_path: Path) -> None:
    with AnswerCache(tmp_path / "other") as other:
        other.put(ask("7"), ChatResponse("mine"))
        assert read_cassette(other, tape) == Imported(10, 9)
        assert other.get(ask("7").key) == ChatResponse("mine")


def test_files_that_cannot_be_read_or_written_are_one_line(cache: AnswerCache, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_cassette(cache, tmp_path / "nowhere.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(LLMError, match="cannot be written"):
        write_cassette(cache, tmp_path / "file" / "tape.jsonl")


@pytest.mark.fault(
    "money",
    "a cassette with a cost or count that cannot be",
    "refused whole; line and number are named",
)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"cost_usd":0.0', '"cost_usd":1e999', "answer has a field of the wrong type"),
        ('"cost_usd":0.0', '"cost_usd":NaN', "answer has a field of the wrong type"),
        ('"cost_usd":0.0', '"cost_usd":"0.1"', "answer has a field of the wrong type"),
        ('"cost_usd":0.0', '"cost_usd":true', "answer has a field of the wrong type"),
        ('"cost_usd":0.0', '"cost_usd":-0.5', "cost_usd was -0.5, not between 0 and 1,000"),
        ('"cost_usd":0.0', '"cost_usd":1e300', "cost_usd was 1e+300, not between 0 and 1,000"),
        ('"cost_usd":0.0', f'"cost_usd":{10**400}', "cost_usd was 10000000000000000000, not between"),
        ('"prompt_tokens":0', '"prompt_tokens":-1', "prompt_tokens was -1, not between 0 and 10,000,000"),
        ('"completion_tokens":0', '"completion_tokens":1e30', "completion_tokens was 1e+30"),
        ('"latency_s":0.0', '"latency_s":-3', "latency_s was -3"),
    ],
)
def test_numbers_that_cannot_be_are_not_imported(tape: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    lines = tape.read_text(encoding="utf-8").splitlines()
    assert old in lines[6]
    lines[6] = lines[6].replace(old, new)
    tape.write_text("\n".join(lines), encoding="utf-8")
    with AnswerCache(tmp_path / "other") as other:
        with pytest.raises(CacheCorruptError) as caught:
            read_cassette(other, tape)
        assert other.keys() == []
    assert f"tape.jsonl:7: {said}" in str(caught.value)


@pytest.mark.fault(
    "money", "a stored answer with a cost or count that cannot be", "the answer is used, the number is 0"
)
@pytest.mark.parametrize(
    "usage",
    [Usage(10**400, 5, 0.5), Usage(10, -5, 0.5), Usage(10, 5, 1e300), Usage(10, 5, -2.0), Usage(10, 5, 10**400)],
)
def test_numbers_that_were_stored_before_there_was_a_gate_are_not_believed(
    usage: Usage, ask: Ask, tmp_path: Path
) -> None:
    with AnswerCache(tmp_path / "older") as older:
        older.put(ask("a"), ChatResponse("yes", usage=usage))
        older.put(ask("b"), ChatResponse("yes", usage=usage))
        found = older.get(ask("a").key)
        assert found is not None
        assert found.text == "yes"
        good = [number for number in vars(usage).values() if 0 < number <= 1000]
        assert [number for number in vars(found.usage).values() if number] == good
        assert older.stats().cost_usd == pytest.approx(1.0 if 0.5 in good else 0.0)
        assert older.verify().bad == ()
