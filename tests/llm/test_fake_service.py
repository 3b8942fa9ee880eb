"""The fake service keeps to its options: latency, faults by seed, honest counting."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from simulator.council.answers import ChairmanDecision, Pitch, ResearchPack, Review
from simulator.llm.fake_service.batches import BATCH_FAULTS
from simulator.llm.fake_service.faults import FAULTS, USUAL, Faults
from simulator.llm.fake_service.invent import Invented
from simulator.llm.messages import ChatRequest, Message


class Nested(BaseModel):
    name: str = Field(min_length=12)
    several: list[Literal["a", "b"]] = Field(min_length=2)
    share: float = Field(gt=0, le=1)
    below: int = Field(le=-3)
    maybe: int | None
    table: dict[str, int]
    flag: bool


def post(url: str, body: object) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/chat/completions", data, {"Content-Type": "application/json"}), timeout=10
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def asking(text: str, **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize("model", [Nested, Pitch, Review, ResearchPack, ChairmanDecision])
def test_invented_answers_satisfy_the_schema_and_its_validators(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    for text in ("one", "two", "three"):
        request = ChatRequest("x", "m", (Message("user", text),), schema=schema)
        first, second = (asyncio.run(Invented().ask(request)).text for _ in range(2))
        model.model_validate_json(first)
        assert first == second


def test_faults_are_drawn_by_seed_and_question_and_come_in_their_share() -> None:
    plan = Faults(0.2, seed=1)
    drawn = [plan.draw(str(i), 0) for i in range(5000)]
    assert drawn == [Faults(0.2, seed=1).draw(str(i), 0) for i in range(5000)]
    assert drawn != [Faults(0.2, seed=2).draw(str(i), 0) for i in range(5000)]
    counted = Counter(fault for fault in drawn if fault)
    assert 900 < counted.total() < 1100
    assert set(counted) == set(USUAL)
    assert Faults(0.0).draw("x", 0) is None
    assert Faults(1.0, kinds=("cut",)).draw("x", 0) == "cut"


def test_every_attempt_is_drawn_anew() -> None:
    plan = Faults(0.5, seed=3)
    assert len({tuple(plan.draw(str(i), attempt) is None for attempt in range(4)) for i in range(200)}) == 16


def test_answers_are_counted_with_their_price_and_a_second_time_is_seen(serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0, "--price", 1_000_000, 0)
    for text in ("a", "b", "a"):
        status, body = post(service.url, asking(text))
        assert (status, body["choices"][0]["finish_reason"]) == (200, "stop")
        assert body["usage"]["cost"] == body["usage"]["prompt_tokens"]
    stats = service.stats()
    assert (stats["requests"], stats["answered"], stats["questions"], stats["twice"]) == (3, 3, 2, 1)
    assert stats["usd"] == 3.0


def test_latency_is_kept(serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0.15, own_process=True)
    started = time.monotonic()
    post(service.url, asking("a"))
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("kind", sorted({"429", "429-retry-after", "500", "502"}))
def test_failures_with_a_status_are_not_counted_as_answers(kind: str, serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", kind)
    status, body = post(service.url, asking("a"))
    assert str(status) == kind[:3]
    assert body["error"]["message"]
    assert (service.stats()["answered"], service.stats()["faults"]) == (0, {kind: 1})


@pytest.mark.parametrize("kind", ["not-json", "refusal", "truncated", "wrong-schema"])
def test_bad_answers_are_answers_and_counted(kind: str, serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", kind)
    schema = {"title": "Vote", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    format_ = {"type": "json_schema", "json_schema": {"name": "Vote", "schema": schema}}
    _, body = post(service.url, asking("a", response_format=format_))
    choice = body["choices"][0]
    assert service.stats()["answered"] == 1
    assert choice["message"].get("refusal") or choice["message"]["content"] != '{"n": 0}'
    assert choice["finish_reason"] == ("length" if kind == "truncated" else "stop")


def fetch(url: str, body: dict[str, object], patience: float = 10.0) -> tuple[int, bytes]:
    """(status, body) as they come; status 0 where the connection broke, or nothing came for so many seconds."""
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.build_opener(StayHere).open(request, timeout=patience) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


class StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:  # noqa: ARG002
        return None


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_the_table_spoils_what_a_healthy_service_sends(name: str, serve: Callable[..., Any]) -> None:
    schema = {"title": "Vote", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    full = asking(
        "a",
        response_format={"type": "json_schema", "json_schema": {"name": "Vote", "schema": schema}},
        temperature=0,
        **{"max_completion_tokens" if name == "no-max-completion-tokens" else "max_tokens": 900},
    )
    healthy, faulty = serve("--latency", 0), serve("--latency", 0, "--fault", name, "--first", 1)
    good = fetch(healthy.url, full)
    assert fetch(faulty.url, full, 0.3) != good  # some faults never answer
    assert faulty.stats()["faults"] == {name: 1}
    assert fetch(faulty.url, full) == good, "--first 1"


def test_a_field_that_is_refused_is_refused_only_where_it_is_sent(serve: Callable[..., Any]) -> None:
    refusing = ("bare-400", "no-schema", "no-json-output", "no-endpoints", "no-max-tokens", "no-temperature")
    for name in refusing:
        service = serve("--latency", 0, "--fault", name)
        assert (post(service.url, asking("a"))[0], service.stats()["faults"]) == (200, {name: 0})


def test_the_faults_are_listed_a_line_each() -> None:
    words = [sys.executable, "-m", "simulator.llm.fake_service", "--fault", "list"]
    listed = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    assert [line.split()[0] for line in listed] == [*FAULTS, *BATCH_FAULTS]
    assert all(len(line.split()) > 1 and len(line) < 120 for line in listed)


def test_it_refuses_schemas_where_told_to_and_finds_them_in_the_prompt(serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0, "--no-schema")
    assert post(service.url, asking("a", response_format={"type": "json_schema"}))[0] == 400
    prompt = (
        "a\n\nAnswer with one JSON object that satisfies this JSON schema, and with nothing else:\n"
        '{"properties":{"n":{"type":"integer"}},"required":["n"],"type":"object"}'
    )
    assert post(service.url, asking(prompt))[1]["choices"][0]["message"]["content"] == '{"n": 0}'


@pytest.mark.parametrize("body", [b"", b"{", b"[]", {"model": "m"}, {"model": "m", "messages": [{}]}])
def test_a_request_that_is_none_is_a_400(body: object, serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0)
    assert post(service.url, body)[0] == 400


def test_it_answers_by_rules_that_are_handed_in(serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0, "--rules", "simulator.council.analysts:RULES")
    status, body = post(service.url, asking("no facts"))
    assert (status, "no offline rule" in body["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fault", "429,flood"), 'no fault "flood"'),
        (("--fault", "empty-contend"), 'did you mean "empty-content"?'),
        (("--kinds", "429,cut"), "say `--fault 429,cut`"),
        (("--rules", "simulator.nowhere:RULES"), "no rules"),
        (("--host", "256.0.0.1"), "cannot listen"),
    ],
)
def test_options_it_cannot_follow_are_one_line(options: tuple[str, ...], said: str) -> None:
    words = [sys.executable, "-m", "simulator.llm.fake_service", "--port", "0", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_questions_are_served_side_by_side(serve: Callable[..., Any]) -> None:
    service = serve("--latency", 0.3)

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(post, service.url, asking(str(i))) for i in range(16)))

    started = time.monotonic()
    asyncio.run(all_at_once())
    assert service.stats()["most_at_once"] > 4
    assert time.monotonic() - started < 16 * 0.3
