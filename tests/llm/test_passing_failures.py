"""Failures that pass are asked again and never stored, those that last are stored: against a service that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from pydantic import BaseModel, ConfigDict, Field

from simulator.errors import LLMError, SimError, UnansweredError
from simulator.llm.answers import StructuredAnswer, read_answer, repair_request, with_schema
from simulator.llm.cache import AnswerCache
from simulator.llm.cassette import read_cassette, write_cassette
from simulator.llm.fake_service.faults import FAULTS
from simulator.llm.forms import without
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import RefusedFieldError, TransientError
from simulator.llm.providers.complaints import is_passing, raise_or_refuse, read_error, refused_field
from simulator.llm.providers.openai_compatible import Endpoint, OpenAICompatible, answer_in_thought
from simulator.llm.retries import Retry
from simulator.store.folders import jsonl_bytes


class Vote(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    conviction: int = Field(ge=-2, le=2)


def question(url: str, **fields: Any) -> ChatRequest:
    messages = (Message("system", "Be brief."), Message("user", "buy?"))
    given = {"provider": "openai_compatible", "model": "m", "endpoint": url, "native_schema": True, "max_tokens": 900}
    return ChatRequest(**{"messages": messages, "temperature": 0.7, **given, **fields})


def put(cache: AnswerCache, request: ChatRequest, mode: Mode = "record") -> tuple[StructuredAnswer[Vote], Gateway]:
    provider = OpenAICompatible({request.endpoint: Endpoint(timeout_s=1.5)})
    gateway = Gateway(cache, {provider.name: provider}, mode=mode, retry=Retry((0.0, 0.0)))

    async def run() -> StructuredAnswer[Vote]:
        try:
            return await gateway.ask_for(request, Vote)
        finally:
            await gateway.drain()

    return asyncio.run(run()), gateway


PASSING = {
    "429": "429 slow down",
    "502": "502 the model fell over",
    "cut-body": "connection failed",
    "hang": "no answer within 1.5 s",
    "empty": "an empty body",
    "503-html": "503 <!DOCTYPE html> <html><head><title>503</title>",
    "529": "529 Overloaded",
    "html": "an HTML page: <!DOCTYPE html> <html><head><title>Log in</title></head><body><h1>Welcome</h1></…",
    "sse": "a stream of events: data: {",
    "200-array": "not a JSON object",
    "200-error": "502 Provider returned error",
    "200-rate-limit": "429 Rate limit exceeded",
    "200-error-text": "upstream timed out",
    "no-choices": "without an answer",
    "null-choices": "without an answer",
    "error-beside": "upstream broke off",
    "error-inside": "upstream broke off",
    "finish-error": "broke off (finish error)",
    "finish-null": "broke off (finish null)",
    "empty-content": "answered with no text",
    "blank-content": "answered with no text",
    "null-content": "answered with no text",
    "text-api-error": "'API Error: 529 Overloaded' as its answer",
    "text-rate-limit": "'Rate limit exceeded. Please try again in 20s.' as its answer",
    "text-used-up": "resets 1pm",
}


@pytest.mark.medium
@pytest.mark.fault(
    "services",
    "a passing failure in any form (status, HTML, error in a 200, finish null, no text, an error message as the text)",
    "asked again, never stored; after the last attempt the run ends with exit 4 and no result, answers are kept",
)
@pytest.mark.parametrize("name", PASSING)
def test_a_passing_failure_is_asked_again_and_never_stored(
    name: str, serve: Callable[..., Any], cache: AnswerCache
) -> None:
    always = serve("--latency", 0, "--fault", name)
    with pytest.raises(UnansweredError, match="no answer after 3 attempts") as caught:
        put(cache, question(always.url))
    assert PASSING[name] in str(caught.value)
    assert caught.value.exit_code == 4
    assert cache.keys() == []
    once = serve("--latency", 0, "--fault", name, "--first", 1)
    answered, gateway = put(cache, question(once.url))
    assert answered.value == Vote(conviction=0)
    assert (gateway.asked, gateway.failed, len(cache.keys())) == (1, 0, 1)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("", True),
        (" \n", True),
        ('API Error: 500 {"type":"error","error":{"type":"api_error","message":"Internal server error"}}', True),
        ("API Error: 500", True),
        ("Claude AI usage limit reached|1767322800", True),
        ("You've hit your limit · resets 1pm", True),
        ("You’ve reached your weekly limit", True),
        ("<html><body>Bad gateway</body></html>", True),
        ("upstream connect error or disconnect/reset before headers", True),
        ("The model is currently overloaded, try later", True),
        ('{"error": {"message": "busy"}}', True),
        ('{"error": {"message": "busy"}, "user_id": "u"}', True),
        ('{"error": {"message": "busy"}, "conviction": 1}', False),
        ("Error code: 529 - {'type': 'error', 'error': {'type': 'overloaded_error'}}", True),
        ("Request failed with status code 502", True),
        ("Something went wrong.", True),
        ("Invalid API key · Please run /login", True),
        ("当前分组上游负载已饱和，请稍后再试", True),
        ('{"error": "rate limit exceeded"}', True),
        ("Resource has been exhausted (e.g. check quota).", True),
        ('{"detail":"Rate limit exceeded"}', True),
        ('```json\n{"message":"Internal server error"}\n```', True),
        ('{"code":429,"msg":"slow down"}', True),
        ('[{"error":{"code":503}}]', True),
        ('{"error":"timeout"}', True),
        ("{}", True),
        ("null", True),
        ("data: [DONE]", True),
        ("\u200b\ufeff\u2060", True),
        ("no healthy upstream", True),
        ("You are being rate limited.", True),
        ("Request was throttled. Expected available in 2 seconds.", True),
        ("ThrottlingException: Rate exceeded", True),
        ("The AI model is currently overloaded. Please try again later.", True),
        ("upstream request timeout", True),
        ("context deadline exceeded", True),
        ("fetch failed", True),
        ("Error: socket hang up", True),
        ("read ECONNRESET", True),
        ("Provider returned error", True),
        ('ServiceUnavailableException: {"message":"wait"}', True),
        ("undefined", True),
        ("\u2800", True),
        ("…", True),
        ("unexpected EOF", True),
        ("No available channel for model m", True),
        ('{"errors":[{"message":"x"}]}', True),
        ('{"message":null}', True),
        ('{"__type":"ThrottlingException"}', True),
        ("No trades.", False),
        ("Markets are experiencing high volatility; refineries run at capacity and CUDA sells.", False),
        ("An error of 429 basis points is priced", False),
        ('{"answer": 42}', False),
        ('{"message": "I cannot help with that"}', False),
        ('{"conviction": 1, "message": "timeout"}', False),
        ("conviction: 1\nwhy: the service is temporarily unavailable", False),
        ("I cannot give advice. Please change the question and try again.", False),
        ("Demand is exhausted; OPEC's quota and the upstream sector's limit decide.", False),
        ("[]", False),
        ('{"error": "I cannot say"}', False),
        ('{"conviction": 1}', False),
        ("I would rather talk about the weather.", False),
        ("Rates rose and the limit of what is priced was reached", False),
        ("Too many requests " + "and so on " * 60, False),
    ],
)
def test_texts_that_are_messages_of_a_failure(text: str, passing: bool) -> None:
    assert is_passing(text, {"properties": {"conviction": {}}}) is passing


@pytest.mark.fault(
    "services",
    "a status that refuses (400 to 404, 422) or a 5xx speaks of moderation or schemas, and of a failure that passes",
    "asked again: neither a refusal of the question nor of a field; 206 with a part of an answer too",
)
@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (403, "moderation service timeout, please retry"),
        (400, "moderation service unavailable, try again"),
        (400, "safety filter temporarily unavailable"),
        (404, "schema registry temporarily unavailable"),
        (422, "schema registry temporarily unavailable"),
        (500, "Unexpected end of JSON object from upstream"),
        (500, "unknown error while generating structured output"),
        (500, "grammar engine crashed"),
        (501, "response_format is not supported"),
    ],
)
def test_words_of_a_passing_failure_win(status: int, complaint: str) -> None:
    content = json.dumps({"error": {"message": complaint}}).encode()
    with pytest.raises(TransientError):
        raise_or_refuse(with_schema(question("http://x/v1"), Vote), status, {}, content)


def test_a_message_of_a_failure_is_no_refusal_and_a_part_no_answer() -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "Service unavailable"}, "finish_reason": "stop"}]}
    read = OpenAICompatible()._read
    with pytest.raises(TransientError):
        read(question("http://x/v1"), 200, {}, json.dumps(body).encode(), "")
    half = {"choices": [{"message": {"content": '{"convic'}, "finish_reason": "stop"}]}
    with pytest.raises(TransientError, match="206"):
        read(question("http://x/v1"), 206, {}, json.dumps(half).encode(), "")


@pytest.mark.fault(
    "services", "the whole answer stands in reasoning_content, content is empty", "it is read where it fits the schema"
)
def test_an_answer_sorted_under_the_thinking_is_read(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", "reasoning-content")
    assert put(cache, question(service.url))[0].value == Vote(conviction=0)
    schema = {"required": ["a"]}
    assert answer_in_thought('Hm, {"b": 1}. So:\n```json\n{"a": {"c": 2}}\n```', schema) == '{"a": {"c": 2}}'
    assert answer_in_thought('<think>{"a": 1}</think>{"a": 2}', schema) == '{"a": 2}'
    for draft in ('{"a": 1} or rather not, let me think', '{"b": 1}', "so be it", '{"a": 1}</think>', ""):
        assert answer_in_thought(draft, schema) == ""


@pytest.mark.fault(
    "services",
    "all of max_tokens goes into thinking: no text, finish length",
    "asked once more with four times as many (at least 16,000), under a key of its own",
)
def test_a_thought_that_used_up_max_tokens_gets_more_room_once(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", "run-out")
    request = question(service.url)
    answered, gateway = put(cache, request)
    assert answered.value == Vote(conviction=0)
    assert (gateway.asked, gateway.failed, len(answered.keys)) == (2, 0, 2)
    assert [cache.entry(key).request["max_tokens"] for key in answered.keys] == [900, 16_000]  # type: ignore[union-attr]
    again, rerun = put(cache, request, "replay")
    assert (again, rerun.asked, rerun.calls) == (answered, 0, gateway.calls)


@pytest.mark.fault(
    "services", "the larger max_tokens goes into thinking too", "stored as a lasting failure that says so"
)
def test_a_thought_without_end_is_a_lasting_failure(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", "empty-length")
    answered, gateway = put(cache, question(service.url))
    assert (answered.value, answered.error) == (None, "no text within max_tokens 900, nor within 16000")
    assert (gateway.asked, gateway.failed, service.stats()["requests"]) == (2, 1, 2)
    again, rerun = put(cache, question(service.url), "replay")
    assert (again, rerun.asked, rerun.calls) == (answered, 0, gateway.calls)


@pytest.mark.fault(
    "services",
    "the model cannot write the larger max_tokens (400)",
    "a lasting failure of that question; the run goes on",
)
def test_a_larger_max_tokens_that_is_refused_is_a_lasting_failure(
    serve: Callable[..., Any], cache: AnswerCache
) -> None:
    service = serve("--latency", 0, "--fault", "run-out-short")
    answered, gateway = put(cache, question(service.url))
    assert (answered.value, answered.error) == (None, "no text within max_tokens 900, and it cannot write more")
    assert (gateway.asked, gateway.failed, service.stats()["requests"]) == (1, 1, 2)
    for mode in ("replay", "record"):
        again, rerun = put(cache, question(service.url), mode)  # type: ignore[arg-type]
        assert (again, rerun.asked, rerun.calls) == (answered, 0, gateway.calls)
    assert put(cache, question(service.url), "retry")[0] == replace(answered, response=ANY)


def test_half_a_surrogate_pair_can_be_shown_to_the_model_that_wrote_it(
    serve: Callable[..., Any], cache: AnswerCache
) -> None:
    bad = serve("--latency", 0, "--fault", "lone-surrogate")
    answered, _ = put(cache, replace(question(bad.url), messages=(Message("user", "half \ud83d a pair"),)))
    assert answered.value == Vote(conviction=0)


@pytest.mark.fault(
    "services",
    "half a surrogate pair in the name of the model, in a refusal or an error, or in a cassette",
    "replaced as it enters: what is stored, recorded and replayed can be written",
)
@pytest.mark.parametrize(
    "body",
    [
        {
            "model": "gpt-\ud83d",
            "choices": [{"message": {"content": '{"conviction": 1}'}, "finish_reason": "st\ud83d"}],
        },
        {"choices": [{"message": {"content": None, "refusal": "no \ud83d"}, "finish_reason": "stop"}]},
        {"error": {"code": 403, "message": "flagged as \ud83d by moderation"}},
        {"error": {"code": 404, "message": "no \ud83d"}},
    ],
)
def test_half_a_surrogate_pair_stops_where_it_enters(body: dict[str, Any], cache: AnswerCache, tmp_path: Path) -> None:
    class Service(OpenAICompatible):
        async def ask(self, request: ChatRequest) -> ChatResponse:
            return self._read(request, 200, {}, json.dumps(body).encode(), "")

    request = question("http://127.0.0.1:1/v1")

    async def run(into: AnswerCache, mode: Mode) -> Gateway:
        gateway = Gateway(into, {"openai_compatible": Service()}, mode=mode)
        answered = await gateway.ask_for(request, Vote)
        assert answered.response is not None
        jsonl_bytes([{"served": call.served, "said": answered.error} for call in gateway.calls])
        return gateway

    if body.get("error", {}).get("code") == 404:
        with pytest.raises(LLMError) as caught:
            asyncio.run(run(cache, "record"))
        assert str(caught.value).encode()
        return
    calls = asyncio.run(run(cache, "record")).calls
    tape = tmp_path / "c.jsonl"
    write_cassette(cache, tape)
    with AnswerCache(tmp_path / "elsewhere") as other:
        # As an older version wrote it.
        tape.write_text(tape.read_text().replace("\ufffd", "\\ud83d"))
        read_cassette(other, tape)
        assert asyncio.run(run(other, "replay")).calls == calls


@pytest.mark.parametrize("code", [400, 404, 422, "invalid_request_error"])
def test_an_error_amid_an_answer_may_pass_whatever_its_code(code: object) -> None:
    request = question("http://127.0.0.1:1/v1")
    with pytest.raises(TransientError):
        read_error(request, {"code": code, "message": "broke off"}, {}, amid_answer=True)
    with pytest.raises(RefusedFieldError if code == 400 else LLMError):
        read_error(replace(request, schema={}), {"code": code, "message": "Bad request"}, {})


def test_what_older_versions_stored_still_hits(cache: AnswerCache) -> None:
    for finish in ("length", "stop"):
        request_then = with_schema(question("http://127.0.0.1:1/v1", model=finish), Vote)
        empty = ChatResponse("", finish=finish)
        cache.put(request_then, empty)
        error = read_answer(empty, Vote).error
        assert error is not None
        cache.put(repair_request(request_then, empty, error), ChatResponse('{"conviction": 1}'))
        assert put(cache, request_then, "replay")[0].value == Vote(conviction=1)


@pytest.mark.fault(
    "services", "failures are stored and the service is well again", "`--cache retry` asks them again and nothing else"
)
def test_retry_asks_stored_failures_again_and_nothing_else(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0)
    answered, unusable, refused, empty = (question(service.url, replicate=n) for n in range(4))
    put(cache, answered)
    spoilt = serve("--latency", 0, "--fault", "not-json")
    moved = replace(unusable, endpoint=spoilt.url)
    first, gateway = put(cache, moved)
    assert (first.value, gateway.failed, len(first.keys)) == (None, 1, 2)
    for request, text, outcome in ((refused, "I cannot help with that.", "refusal"), (empty, "", "answer")):
        cache.put(with_schema(request, Vote), ChatResponse(text, outcome=outcome))  # type: ignore[arg-type]
    stored, requests = set(cache.keys()), service.stats()["requests"]
    assert put(cache, refused)[1].asked == 0, "a failure that lasts is not asked again on its own"

    for request, asked in ((answered, 0), (refused, 1), (empty, 1)):
        result, gateway = put(cache, request, "retry")
        assert (result.value, gateway.asked, gateway.failed) == (Vote(conviction=0), asked, 0)
        assert gateway.calls == put(cache, request, "replay")[1].calls
    assert service.stats()["requests"] == requests + 2
    assert put(cache, moved, "retry")[1].asked == 1, "the repair question, once"
    assert spoilt.stats()["requests"] == 3
    assert set(cache.keys()) == stored
    assert put(cache, refused, "retry")[1].asked == 0, "it is no failure any more"


def test_within_a_run_a_failure_is_retried_once(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", "refusal")
    put(cache, question(service.url))
    provider = OpenAICompatible()
    gateway = Gateway(cache, {provider.name: provider}, mode="retry")

    async def run() -> None:
        for _ in range(3):
            await gateway.ask_for(question(service.url), Vote)
            await gateway.ask(with_schema(question(service.url), Vote))
        await gateway.drain()

    asyncio.run(run())
    assert (gateway.asked, gateway.cached, gateway.failed, service.stats()["requests"]) == (1, 0, 1, 2)


def test_what_today_can_be_read_is_not_asked_again(cache: AnswerCache) -> None:
    request = with_schema(question("http://127.0.0.1:1/v1"), Vote)
    cache.put(request, ChatResponse('{"conviction": 2}', outcome="unusable"))
    answered, gateway = put(cache, request, "retry")
    assert (answered.value, gateway.asked) == (Vote(conviction=2), 0)


FALLBACKS = {
    "bare-400": ("schema", "native_schema"),
    "no-schema": ("schema", "native_schema"),
    "no-json-output": ("schema", "native_schema"),
    "no-endpoints": ("schema", "native_schema"),
    "no-temperature": ("temperature", "temperature"),
    "no-max-tokens": ("max_tokens", "limit"),
}


@pytest.mark.fault(
    "services",
    "a service refuses JSON schemas, temperature or the name of max_tokens (also a 400 that says nothing)",
    "asked without it, said in the notes; the key is of what was sent, and a cassette replays elsewhere",
)
@pytest.mark.parametrize("name", FALLBACKS)
def test_what_a_service_refuses_is_left_out_and_remembered_beside_the_answers(
    name: str, serve: Callable[..., Any], cache: AnswerCache, tmp_path: Path
) -> None:
    service = serve("--latency", 0, "--fault", name)
    field, changed = FALLBACKS[name]
    requests = [question(service.url, replicate=n) for n in range(3)]
    first, gateway = put(cache, requests[0])
    assert (first.value, gateway.asked, service.stats()["requests"]) == (Vote(conviction=0), 1, 2)
    entry = cache.entry(first.keys[0])
    assert entry is not None
    assert entry.key != with_schema(requests[0], Vote).key
    assert entry.request.get(changed) != with_schema(requests[0], Vote).canonical().get(changed)
    assert gateway.refusals == [("m", field)]
    assert cache.refusals("openai_compatible", service.url, "m") == {field}
    assert cache.refusals("openai_compatible", "http://elsewhere/v1", "m") == set()
    put(cache, requests[1])
    assert service.stats()["requests"] == 3, "not tried a second time, in another run neither"

    write_cassette(cache, tmp_path / "c.jsonl")
    with AnswerCache(tmp_path / "elsewhere") as other:
        read_cassette(other, tmp_path / "c.jsonl")
        replayed, rerun = put(other, requests[0], "replay")
        assert (replayed, rerun.calls) == (first, gateway.calls)
        put(other, requests[2])
        assert service.stats()["requests"] == 4


def test_several_refusals_are_left_out_one_after_the_other(serve: Callable[..., Any], cache: AnswerCache) -> None:
    names = ("no-temperature", "no-max-tokens", "no-json-output")
    service = serve("--latency", 0, "--fault", ",".join(names), "--seed", 1)
    request = question(service.url)
    put(cache, request)
    assert put(cache, request, "replay")[0].value == Vote(conviction=0)


@pytest.mark.fault(
    "services", "403: the input was flagged by moderation", "a refusal of that question; the run goes on"
)
@pytest.mark.parametrize("name", ["moderation", "content-filter"])
def test_moderation_is_a_refusal_of_the_question(name: str, serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", name)
    answered, gateway = put(cache, question(service.url))
    assert (answered.value, answered.response.outcome, gateway.failed) == (None, "refusal", 1)
    assert "refused" in str(answered.error)
    assert put(cache, question(service.url), "replay")[1].calls == gateway.calls


def test_a_setting_that_is_refused_in_any_words_is_left_out() -> None:
    asked = with_schema(question("http://x/v1", seed=7), Vote)
    for complaint, field in (
        ("`temperature` is deprecated for this model.", "temperature"),
        ("temperature: Extra inputs are not permitted", "temperature"),
        ('Unknown name "seed"', "seed"),
        ("max_tokens is too large: 100000. This model supports at most 16384", None),
        ("This model's maximum context length is 8192 tokens", None),
        ("Use 'max_completion_tokens' instead of max_tokens", "max_tokens"),
        ("Invalid value: 'json_schema'", "schema"),
        ("Provider returned error, 400", "schema"),
        ("400 Bad Request", "schema"),
        ("invalid model", None),
    ):
        assert refused_field(asked, 400, complaint) == field, complaint
    assert refused_field(replace(asked, native_schema=False), 400, "") is None


def test_forms_of_a_question_that_both_names_of_the_limit_are_refused_for() -> None:
    asked = question("http://x/v1")
    assert without(asked, {"max_completion_tokens"}) is asked
    both = without(asked, {"max_tokens", "max_completion_tokens"})
    assert (both.max_tokens, both.limit, both.purpose["refused"]) == (None, "", "max_completion_tokens max_tokens")


@pytest.mark.medium
@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_is_a_traceback_and_what_is_stored_replays(
    name: str, serve: Callable[..., Any], cache: AnswerCache
) -> None:
    service = serve("--latency", 0, "--fault", name)
    request = question(service.url)
    failure: SimError | None = None
    try:
        answered, gateway = put(cache, request)
    except SimError as error:
        failure = error
    if failure is not None:
        assert failure.exit_code in (2, 4)
        assert "\n" not in str(failure)
        assert all(entry.response.outcome == "answer" and entry.response.text for entry in cache.entries())
        return
    assert (answered.value is None) == (gateway.failed == 1)
    again, rerun = put(cache, request, "replay")
    assert (again.value, again.error, again.keys) == (answered.value, answered.error, answered.keys)
    assert [(call.key, call.outcome) for call in rerun.calls] == [(call.key, call.outcome) for call in gateway.calls]
