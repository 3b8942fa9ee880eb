"""Asking over HTTP: what is sent, what comes back, and which failures may pass. Against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from simulator.config import Seat
from simulator.errors import ConfigError, LLMError
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import Provider, RefusedFieldError, TransientError, free, is_local
from simulator.llm.providers.complaints import retry_after
from simulator.llm.providers.offline import Offline
from simulator.llm.providers.openai_compatible import (
    Endpoint,
    OpenAICompatible,
    body_of,
    endpoints_of,
    response_format,
    text_of,
)
from simulator.llm.registry import providers_for, request_for
from simulator.llm.retries import Retry


class Vote(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    conviction: int = Field(ge=-2, le=2)


class Told:
    """A server that answers what it is told, status and body, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.sent: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = ""

    def answer(self, status: int, body: object, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, content))


@pytest.fixture
def told() -> Iterator[Told]:
    script = Told()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            script.sent.append((dict(self.headers), json.loads(sent)))
            status, headers, content = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script.url = f"http://127.0.0.1:{server.server_port}/v1"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield script
        server.shutdown()


def completion(content: object = '{"conviction": 2}', finish: str = "stop", **more: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content, **more}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "cost": 0.0125}
    return {"model": "m-2025", "choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def question(url: str, **fields: Any) -> ChatRequest:
    return ChatRequest("openai_compatible", "m", (Message("user", "buy?"),), endpoint=url, **fields)


def ask(request: ChatRequest, **options: Any) -> ChatResponse:
    async def run() -> ChatResponse:
        provider = OpenAICompatible(**options)
        try:
            return await provider.ask(request)
        finally:
            await provider.close()

    return asyncio.run(run())


def test_it_is_a_provider() -> None:
    assert isinstance(OpenAICompatible(), Provider)


def test_the_sdk_is_imported_by_the_first_question_and_named_where_it_is_missing() -> None:
    code = """
import asyncio, sys
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.providers.openai_compatible import OpenAICompatible
provider = OpenAICompatible()
assert "openai" not in sys.modules
sys.modules["openai"] = None
asyncio.run(provider.ask(ChatRequest("openai_compatible", "m", (Message("user", "a"),), "http://127.0.0.1:1/v1")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "asking a model needs the openai package; `pip install openai`" in done.stderr


@pytest.mark.fault("services", "400: `cache_control` is not permitted", "asked again without it, under the same key")
def test_marks_that_a_service_refuses_are_left_out(told: Told) -> None:
    told.answer(400, {"error": {"message": "messages.0.content.0.cache_control: Extra inputs are not permitted"}})
    told.answer(200, completion())
    asked = replace(question(told.url), model="claude-x", messages=(Message("user", "facts buy?", shared=(6,)),))
    assert ask(asked).text == '{"conviction": 2}'
    contents = [body["messages"][0]["content"] for _, body in told.sent]
    assert contents[0][0]["cache_control"] == {"type": "ephemeral"}
    assert contents[1] == "facts buy?"


@pytest.mark.fault(
    "services", "`model` of the answer is null, missing, a number or endless", "not recorded; cut at 200"
)
@pytest.mark.parametrize(
    ("named", "served"),
    [
        (None, ""),
        (7, ""),
        ({"id": "x"}, ""),
        ("  gpt-5.2-2026-01-15\n", "gpt-5.2-2026-01-15"),
        ("x" * 9_000, "x" * 200),
    ],
)
def test_the_model_that_served_is_a_name_or_not_recorded(told: Told, named: object, served: str) -> None:
    told.answer(200, {**completion(), "model": named})
    assert ask(question(told.url)).model == served


def test_an_answer_brings_text_model_tokens_and_the_cost_the_service_tells(told: Told) -> None:
    told.answer(200, completion())
    response = ask(question(told.url))
    assert (response.text, response.outcome, response.model) == ('{"conviction": 2}', "answer", "m-2025")
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (11, 7)
    assert (response.usage.cost_usd, response.finish) == (0.0125, "stop")
    assert datetime.now(UTC).year == datetime.fromisoformat(response.asked_at).year
    assert 0 < response.latency_s < 10


def test_a_cost_that_is_not_told_is_worked_out_and_missing_counts_are_estimated(told: Told) -> None:
    body = completion("x" * 40)
    body["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
    told.answer(200, body)
    told.answer(200, {**completion("x" * 40), "usage": None})
    price = lambda request, prompt, completion, told: prompt * 1.0 + completion * 100.0  # noqa: ARG005, E731
    assert ask(question(told.url), price=price).usage.cost_usd == 1100.0
    assert ask(question(told.url), price=price).usage.completion_tokens == 10


def test_all_that_is_in_the_key_is_sent_and_nothing_else(told: Told) -> None:
    told.answer(200, completion())
    ask(
        question(
            told.url, temperature=0.0, top_p=0.9, max_tokens=50, stop=("END",), seed=3, extra={"cache_prompt": False}
        )
    )
    headers, body = told.sent[0]
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "buy?"}],
        "temperature": 0.0,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 3,
        "cache_prompt": False,
    }
    assert headers["authorization"] == "Bearer none"


def test_openai_itself_gets_the_newer_name_of_max_tokens() -> None:
    assert body_of(question("https://api.openai.com/v1", max_tokens=9))["max_completion_tokens"] == 9
    assert body_of(question("https://openrouter.ai/api/v1", max_tokens=9))["max_tokens"] == 9


def test_what_the_environment_says_about_openai_is_not_told_to_others(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, f"planted-{name}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    told.answer(200, completion())
    ask(question(told.url))
    assert "planted" not in str(told.sent)


def test_the_key_comes_from_the_variable_that_is_named(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_VLLM", "sk-mine")
    told.answer(200, completion())
    ask(question(told.url), endpoints={told.url: Endpoint("MY_VLLM")})
    assert told.sent[0][0]["authorization"] == "Bearer sk-mine"
    monkeypatch.delenv("MY_VLLM")
    with pytest.raises(ConfigError, match="MY_VLLM is not set; `export MY_VLLM="):
        ask(question(told.url), endpoints={told.url: Endpoint("MY_VLLM")})


def test_a_key_that_a_service_echoes_is_struck_out_whatever_its_variable_is_called(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_VLLM", "sk-mine-0123456789")
    endpoints = {told.url: Endpoint("MY_VLLM")}
    told.answer(200, completion("you are sk-mine-0123456789"))
    told.answer(401, {"error": {"message": "bad key sk-mine-0123456789"}})
    assert ask(question(told.url), endpoints=endpoints).text == "you are [MY_VLLM]"
    with pytest.raises(LLMError, match=r"401 bad key \[MY_VLLM\].*check MY_VLLM") as caught:
        ask(question(told.url), endpoints=endpoints)
    assert "sk-mine" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://router.requesty.ai/v1", "REQUESTY_API_KEY is not set"),
        ("https://eu.router.requesty.ai/v1", "REQUESTY_API_KEY is not set"),
        ("https://api.openai.com/v1", "OPENAI_API_KEY is not set"),
        ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY is not set"),
        ("https://evilopenrouter.ai/v1", "which variable holds the key of evilopenrouter.ai"),
        ("", "has no endpoint"),
    ],
)
def test_without_a_key_the_variable_is_named(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTY_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError) as caught:
        ask(question(url))
    assert said in str(caught.value)


def test_two_keys_for_one_service_are_refused() -> None:
    seats = [Seat(provider="openai_compatible", model="m", endpoint="http://h/v1", api_key_env=n) for n in ("A", "B")]
    with pytest.raises(ConfigError, match="http://h/v1 has two keys, A and B"):
        endpoints_of(seats)
    assert endpoints_of([seats[0], Seat(provider="offline", model="trend")]) == {"http://h/v1": Endpoint("A", 300.0)}


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://box.local/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8/v1", False),
        ("https://localhost.example.org/v1", False),
    ],
)
def test_only_this_machine_and_private_networks_need_no_key(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_refusals_come_in_three_ways(told: Told) -> None:
    told.answer(200, completion(None, refusal="I will not"))
    told.answer(200, completion("", finish="content_filter"))
    told.answer(400, {"error": {"message": "filtered", "code": "content_policy_violation"}})
    texts = []
    for _ in range(3):
        response = ask(question(told.url))
        assert response.outcome == "refusal"
        texts.append(response.text)
    assert texts == ["I will not", "", "filtered, content_policy_violation"]


def test_text_in_parts_is_put_together(told: Told) -> None:
    told.answer(200, completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))
    assert ask(question(told.url)).text == "ab"


@pytest.mark.fault("answers", "a draft in a part of the message that is a thought", "no part of the answer")
@pytest.mark.parametrize(
    "thought",
    [
        {"type": "reasoning", "text": "a draft"},
        {"type": "thought", "text": "a draft"},
        {"type": "thinking", "text": "a draft"},
        {"type": "text", "thought": True, "text": "a draft"},
    ],
)
def test_parts_that_are_thoughts_are_no_answer(thought: dict[str, object]) -> None:
    assert text_of([thought, {"type": "output_text", "text": "the "}, {"text": "answer"}]) == "the answer"
    assert text_of([thought]) == ""


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, {"error": {"message": "slow down"}}, "429 slow down"),
        (500, b"<html>oops</html>", "500 <html>oops</html>"),
        (502, b"", "502"),
        (503, {"error": "busy"}, "503 busy"),
        (529, {"detail": "overloaded"}, "overloaded"),
        (408, {}, "408"),
        (200, b"", "an empty body"),
        (200, b"   ", "an empty body"),
        (200, b"{nonsense", "a body that is not a JSON object"),
        (200, b"[]", "a body that is not a JSON object"),
        (200, {}, "answered without an answer"),
        (200, {"choices": []}, "answered without an answer"),
        (200, {"error": {"message": "upstream", "code": 502}}, "upstream, 502"),
        (200, {"choices": [{"finish_reason": "error", "error": {"message": "died"}, "message": {}}]}, "died"),
    ],
)
def test_what_may_pass_is_a_transient_error(told: Told, status: int, body: object, said: str) -> None:
    told.answer(status, body)
    with pytest.raises(TransientError) as caught:
        ask(question(told.url))
    assert said in str(caught.value)
    assert caught.value.throttled is (status == 429)


WHOLE = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()


@pytest.mark.fault(
    "services",
    "a body with a BOM, in UTF-16, or of another 2xx status",
    "read as the answer it is; garbage is asked again",
)
@pytest.mark.parametrize(
    ("status", "body", "headers", "text"),
    [
        (200, b"\xef\xbb\xbf" + WHOLE, {}, "hi"),
        (200, json.dumps(json.loads(WHOLE)).encode("utf-16"), {}, "hi"),
        (201, WHOLE, {}, "hi"),
        (200, WHOLE, {"Content_Encoding": "gzip"}, None),
        (200, WHOLE.replace(b"hi", b"h\xe9"), {}, None),
        (200, b'{"a":' * 2000, {}, None),
        (200, WHOLE.replace(b"}]}", b'}], "usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}"), {}, None),
        (200, {"choices": [{"message": "hi", "finish_reason": "stop"}]}, {}, None),
        (200, {"choices": {"0": 1}}, {}, None),
        (200, {"error": {"code": 429.0, "message": "slow"}}, {}, None),
        (200, {"object": "error", "message": "busy", "code": 503}, {}, None),
    ],
)
def test_odd_bodies_are_read_or_asked_again(
    told: Told, status: int, body: object, headers: dict[str, str], text: str | None
) -> None:
    told.answer(status, body, **headers)
    if text is None:
        with pytest.raises(TransientError):
            ask(question(told.url))
    else:
        assert ask(question(told.url)).text == text


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": "bad key"}}, "401 bad key"),
        (402, {"error": {"message": "pay"}}, "add credit there"),
        (404, {"error": {"message": "no such model"}}, "no such model"),
        (400, {"error": {"message": "temperature must be 1"}}, "check model, endpoint and settings"),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, "credit is used up"),
        (307, b"", "was refused (307"),
        (200, {"error": {"message": "no access", "code": 403}}, "no access"),
    ],
)
def test_what_does_not_pass_is_one_line_that_says_what_to_do(told: Told, status: int, body: object, said: str) -> None:
    told.answer(status, body, Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(LLMError) as caught:
        ask(question(told.url))
    assert not isinstance(caught.value, TransientError)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_retry_after_is_read_as_seconds_milliseconds_and_date(told: Told) -> None:
    told.answer(429, {}, Retry_After="7")
    with pytest.raises(TransientError) as caught:
        ask(question(told.url))
    assert caught.value.retry_after == 7
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert retry_after({"retry-after-ms": "250"}, now) == 0.25
    assert retry_after({"retry-after": "Fri, 02 Jan 2026 03:04:15 GMT"}, now) == 10
    assert retry_after({"retry-after": "Fri, 02 Jan 2026 03:04:00 GMT"}, now) == 0
    for odd in ("soon", "Sun, 06 Nov 99999999999999999999 08:49:37 GMT", "Sun, 06 Nov 2026 99:99:99 GMT", "1e999", ""):
        assert retry_after({"retry-after": odd}, now) is None
    assert retry_after({}, now) is None


def test_nobody_listening_is_transient_and_was_not_paid_for() -> None:
    with pytest.raises(TransientError, match="connection failed") as caught:
        ask(question("http://127.0.0.1:1/v1"))
    assert not caught.value.perhaps_paid


def test_a_service_that_never_answers_is_given_up_in_time_and_may_have_been_paid(serve: Callable[..., Any]) -> None:
    service = serve("--faults", 1, "--fault", "hang")
    with pytest.raises(TransientError, match=r"no answer within 0\.3 s") as caught:
        ask(question(service.url), endpoints={service.url: Endpoint(timeout_s=0.3)})
    assert caught.value.perhaps_paid


@pytest.mark.parametrize("kind", ["cut", "cut-body"])
def test_a_cut_connection_is_transient(kind: str, serve: Callable[..., Any]) -> None:
    service = serve("--faults", 1, "--fault", kind, "--latency", 0)
    with pytest.raises(TransientError, match="connection failed") as caught:
        ask(question(service.url))
    assert caught.value.perhaps_paid


def test_strict_is_asked_only_of_schemas_that_allow_it() -> None:
    assert response_format(Vote.model_json_schema())["json_schema"]["strict"] is True
    loose = {"title": "A b", "type": "object", "additionalProperties": {"type": "string"}}
    assert response_format(loose) == {"type": "json_schema", "json_schema": {"name": "A_b", "schema": loose}}


def with_gateway(
    cache: AnswerCache, run: Callable[[Gateway], Awaitable[Any]], provider: Provider | None = None, **options: Any
) -> tuple[Any, Gateway]:
    provider = provider or OpenAICompatible()

    async def main() -> tuple[Any, Gateway]:
        gateway = Gateway(cache, {"openai_compatible": provider}, retry=Retry((0.0,)), **options)
        try:
            return await run(gateway), gateway
        finally:
            if isinstance(provider, OpenAICompatible):
                await provider.close()

    return asyncio.run(main())


def seat(url: str, **fields: Any) -> Seat:
    return Seat(provider="openai_compatible", model="m", endpoint=url, **fields)


def test_a_service_without_schemas_gets_them_in_the_prompt_and_is_not_tried_again(
    told: Told, cache: AnswerCache
) -> None:
    told.answer(400, {"error": {"message": "response_format json_schema is not supported"}})
    told.answer(200, completion())
    questions = [request_for(seat(told.url), [Message("user", text)], {"title": "Vote"}) for text in ("a", "b")]

    async def both(gateway: Gateway) -> list[Any]:
        return [await gateway.ask_for(question, Vote) for question in questions]

    answered, cold = with_gateway(cache, both)
    assert [one.value for one in answered] == [Vote(conviction=2)] * 2
    assert ["response_format" in body for _, body in told.sent] == [True, False, False]
    assert '"conviction"' in told.sent[1][1]["messages"][-1]["content"]
    stored = [cache.entry(one.keys[0]) for one in answered]
    assert all(entry is not None and "native_schema" not in entry.request for entry in stored)
    again, warm = with_gateway(cache, both, Offline({}, ""), mode="replay")
    assert (again, warm.calls, warm.cached) == (answered, cold.calls, 2)
    assert len(told.sent) == 3


def test_a_schema_that_is_enforced_is_part_of_the_key(told: Told, cache: AnswerCache) -> None:
    told.answer(200, completion())
    native, plain = (
        request_for(seat(told.url, native_schema=native), [Message("user", "a")], {"title": "Vote"})
        for native in (True, False)
    )
    assert native.key != plain.key
    answered, _ = with_gateway(cache, lambda gateway: gateway.ask_for(native, Vote))
    assert answered.keys == (replace_schema(native).key,)
    with pytest.raises(LLMError, match=r"schema|native_schema"):
        with_gateway(cache, lambda gateway: gateway.ask_for(plain, Vote), mode="replay")


def replace_schema(request: ChatRequest) -> ChatRequest:
    from simulator.llm.answers import with_schema

    return with_schema(request, Vote)


def test_an_answer_cut_off_at_max_tokens_is_repaired_even_when_a_part_of_it_would_fit(
    told: Told, cache: AnswerCache
) -> None:
    told.answer(200, completion('[{"conviction": 1}, {"convic', finish="length"))
    told.answer(200, completion())
    answered, gateway = with_gateway(cache, lambda gateway: gateway.ask_for(question(told.url), Vote))
    assert (answered.value, len(answered.keys), gateway.failed) == (Vote(conviction=2), 2, 0)
    assert "cut off at max_tokens" in told.sent[1][1]["messages"][-1]["content"]


def test_a_complaint_about_anything_else_is_not_taken_for_one_about_schemas(told: Told) -> None:
    told.answer(400, {"error": {"message": "json_schema: not here"}})
    with pytest.raises(RefusedFieldError):
        ask(question(told.url, schema={"title": "Vote"}, native_schema=True))
    with pytest.raises(LLMError) as caught:
        ask(question(told.url, schema={"title": "Vote"}))
    assert not isinstance(caught.value, RefusedFieldError)


def test_extra_fields_may_not_go_around_the_key(told: Told) -> None:
    for name in ("model", "temperature", "stream", "response_format"):
        with pytest.raises(ConfigError, match=f'extra may not hold "{name}"'):
            request_for(seat(told.url, extra={name: 1}), [Message("user", "a")])


def test_providers_are_chosen_by_the_seats_and_an_unknown_one_is_named() -> None:
    offline = Offline({}, "")
    assert set(providers_for({"a": Seat(provider="offline", model="trend")}, offline, free)) == {"offline"}
    chosen = providers_for({"a": seat("http://127.0.0.1/v1")}, offline, free)
    assert set(chosen) == {"offline", "openai_compatible"}
    with pytest.raises(ConfigError, match='no provider "openai_compatibel", did you mean "openai_compatible"'):
        providers_for({"a": Seat(provider="openai_compatibel", model="m")}, offline, free)
