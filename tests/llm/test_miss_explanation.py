"""A miss in replay names the stored question that was meant and the first place where the two part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from simulator.errors import CacheMissError
from simulator.llm.cache import AnswerCache, Entry
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.miss_explanation import differences, miss

Ask = Callable[..., ChatRequest]

PROMPT = "You see facts.\nSPY close {}\nQQQ close 400.10\nVIX {}\nDecide now."


def put(cache: AnswerCache, *requests: ChatRequest) -> None:
    for request in requests:
        cache.put(request, ChatResponse("yes"))


def test_the_line_that_changed_is_shown_with_both_readings(cache: AnswerCache, ask: Ask) -> None:
    stored = ask(PROMPT.format("472.10", 12))
    put(cache, stored, ask("something else"), ask(PROMPT.format("300.00", 99), seat="risk"))
    told = str(miss(cache, ask(PROMPT.format("472.15", 12))))
    assert stored.key[:12] in told
    assert 'messages[1].content line 2: "SPY close 472.15" against "SPY close 472.10"' in told
    assert "seat=trend session=2024-01-05 stage=pitch" in told
    assert "\n" not in told


def test_the_same_seat_and_date_comes_before_a_text_that_is_more_alike(cache: AnswerCache, ask: Ask) -> None:
    asked = ask(PROMPT.format("472.15", 12))
    meant = ask(PROMPT.format("1.0", 99))
    alike = ask(PROMPT.format("472.16", 12), purpose={**asked.purpose, "session": "2024-01-12"})
    put(cache, meant, alike)
    assert meant.key[:12] in str(miss(cache, asked))


def test_without_the_same_purpose_the_most_similar_of_the_same_model_is_taken(cache: AnswerCache, ask: Ask) -> None:
    asked = ask(PROMPT.format("472.15", 12), purpose={"session": "2030-01-01"})
    near = ask(PROMPT.format("472.16", 12), purpose={"session": "2024-01-12"})
    put(cache, *(ask(PROMPT.format(i, i), purpose={"session": str(i)}) for i in range(30)), near)
    put(cache, replace(asked, provider="other", purpose={"session": "x"}))
    assert near.key[:12] in str(miss(cache, asked))


def test_rules_that_were_edited_show_as_another_model(cache: AnswerCache, ask: Ask) -> None:
    put(cache, ask(model="trend@0000"))
    assert 'model: "trend@1111" against "trend@0000"' in str(miss(cache, ask(model="trend@1111")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": 0.5}, "temperature: 0.5 against nothing"),
        ({"max_tokens": 10}, "max_tokens: 10 against nothing"),
        ({"replicate": 3}, "replicate: 3 against 0"),
        ({"schema": {"title": "Vote", "maximum": 2}}, "schema.maximum: 2 against 1"),
        ({"messages": (Message("user", "a"), Message("user", "b"), Message("user", "c"))}, "messages[2]: "),
    ],
)
def test_any_field_that_differs_is_named(cache: AnswerCache, ask: Ask, change: dict[str, object], said: str) -> None:
    base = ask(messages=(Message("user", "a"), Message("user", "b")), schema={"title": "Vote", "maximum": 1})
    put(cache, base)
    assert said in str(miss(cache, replace(base, **change)))  # type: ignore[arg-type]


def test_an_empty_cache_says_so(cache: AnswerCache, ask: Ask) -> None:
    assert "the cache is empty" in str(miss(cache, ask()))


def test_a_long_line_is_cut_around_the_difference(cache: AnswerCache, ask: Ask) -> None:
    put(cache, ask("x" * 5000 + "A" + "y" * 5000))
    told = str(miss(cache, ask("x" * 5000 + "B" + "y" * 5000)))
    assert len(told) < 600
    assert "xB" in told
    assert "xA" in told


def test_corrupt_entries_do_not_stand_in_the_way(cache: AnswerCache, ask: Ask) -> None:
    put(cache, ask("one"), ask("two"))
    assert cache._store is not None
    cache._store.sql("UPDATE Cache SET mode = 4 WHERE key = ?", (ask("two").key,))
    assert ask("one").key[:12] in str(miss(cache, ask("three")))


def test_equal_requests_have_no_differences(ask: Ask) -> None:
    assert list(differences(ask().canonical(), ask().canonical())) == []
    text = [str(one) for one in differences(ask("a\nb").canonical(), ask("a").canonical())]
    assert text == ['messages[1].content line 2: "b" against nothing']


def test_of_many_misses_at_once_only_the_first_is_explained(
    cache: AnswerCache, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes up to a second in a large cache, and the run names the first."""
    compared: list[str] = []
    similar = AnswerCache.similar

    def counted(self: AnswerCache, request: ChatRequest, most: int) -> list[Entry]:
        compared.append(request.key)
        return similar(self, request, most)

    monkeypatch.setattr(AnswerCache, "similar", counted)
    put(cache, ask("what is stored"))
    gateway = Gateway(cache, {}, mode="replay")

    async def all_at_once() -> list[ChatResponse | BaseException]:
        return await asyncio.gather(*(gateway.ask(ask(str(n))) for n in range(50)), return_exceptions=True)

    misses = asyncio.run(all_at_once())
    assert all(isinstance(one, CacheMissError) for one in misses)
    assert compared == [ask("0").key]
    assert ["nearest is" in str(one) for one in misses] == [True] + [False] * 49
