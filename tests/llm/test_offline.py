"""The offline provider finds the facts of a prompt, finds the rule, and writes down what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from simulator.errors import LLMError
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import Provider
from simulator.llm.providers.offline import Offline

RULES = {
    "trend/Vote": lambda prompt: {"rule": "trend", **prompt},
    "Vote": lambda prompt: {"rule": "any", **prompt},
    "Bad": lambda prompt: {"nan": float("nan"), **prompt},
}


def question(*texts: str, model: str = "trend@0123", title: str = "Vote", roles: str = "u") -> ChatRequest:
    names = {"u": "user", "a": "assistant", "s": "system"}
    messages = tuple(Message(names[role], text) for role, text in zip(roles, texts, strict=True))  # type: ignore[arg-type]
    return ChatRequest("offline", model, messages, schema={"title": title})


def answer(request: ChatRequest) -> Any:
    response = asyncio.run(Offline(RULES, "v1").ask(request))
    assert response == ChatResponse(response.text, model=f"{request.model.partition('@')[0]}/v1")
    return json.loads(response.text)


def block(**facts: object) -> str:
    return f"```json\n{json.dumps(facts)}\n```"


def test_it_is_a_provider() -> None:
    assert isinstance(Offline({}, ""), Provider)
    assert Offline({}, "").name == "offline"


def test_a_rule_gets_facts_system_text_and_the_seat_without_its_digest() -> None:
    request = question("You follow trends.", f"Here are facts.\n{block(close=1)}\nDecide.", roles="su")
    assert answer(request) == {"rule": "trend", "facts": {"close": 1}, "system": "You follow trends.", "seat": "trend"}


def test_a_rule_of_the_schema_answers_for_seats_without_their_own() -> None:
    assert answer(question(block(a=1), model="carry@99"))["rule"] == "any"


def test_the_facts_are_those_of_the_last_user_message() -> None:
    request = question(block(day=1), "earlier answer", block(day=2), roles="uau")
    assert answer(request)["facts"] == {"day": 2}


def test_a_repair_question_is_about_the_facts_before_it() -> None:
    request = question(block(day=1), "bad", "That answer could not be used.", roles="uau")
    assert answer(request)["facts"] == {"day": 1}


def test_several_blocks_are_put_together() -> None:
    assert answer(question(f"{block(a=1)}\ntext\n{block(b=[2])}"))["facts"] == {"a": 1, "b": [2]}


def test_a_fence_inside_a_fact_does_not_end_the_facts() -> None:
    assert answer(question(block(news="```\n```json\n{}\n```")))["facts"] == {"news": "```\n```json\n{}\n```"}


def test_the_same_question_gets_the_same_bytes() -> None:
    request = question(block(b=1, a={"z": 1, "y": 2}))
    texts = {asyncio.run(Offline(RULES, "v1").ask(request)).text for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (question(block(a=1), title="Vot"), 'no offline rule "trend/Vot", did you mean "trend/Vote"'),
        (question("no facts"), "no ```json block"),
        (question("```json\n{a}\n```"), "no JSON"),
        (question(f"{block(a=1)}\n{block(a=2)}"), "overlap"),
        (question(block(a=1), title="Bad"), "answered with what is no JSON"),
    ],
)
def test_what_it_cannot_answer_is_one_line(request_: ChatRequest, said: str) -> None:
    with pytest.raises(LLMError) as caught:
        asyncio.run(Offline(RULES, "v1").ask(request_))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bug_in_a_rule_shows_itself() -> None:
    def broken(prompt: Mapping[str, Any]) -> Any:
        return prompt["nothing"]

    with pytest.raises(KeyError):
        asyncio.run(Offline({"Vote": broken}, "v1").ask(question(block(a=1))))
