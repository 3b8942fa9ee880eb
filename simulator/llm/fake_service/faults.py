"""Faults on purpose, by name, drawn by seed: the same question fails in the same way whenever it comes.

    whole Reply ─► FAULTS[name].spoil(reply) ─► Reply as that service would send it

A fault that answers with something else than a whole completion is what real services were seen to send. One that
refuses a field of the request (`no-schema`, `no-temperature`, …) leaves requests without that field alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any, Literal, NamedTuple
from urllib.parse import quote


@dataclass(frozen=True)
class Reply:
    """One HTTP response to the request body `asked`: `body` is sent as JSON unless it is bytes.

    `key` is the one that was sent;
    `retry_after_s` are the seconds that a ``429-retry-after`` is to ask for;
    `ending` ``cut``: the connection ends without an answer; ``cut-body``: amid one; ``hang``: nothing ever comes.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] | None = None
    ending: Literal["whole", "cut", "cut-body", "hang"] = "whole"
    asked: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float = 1.0
    key: str = ""

    @property
    def choice(self) -> dict[str, Any]:
        choice: dict[str, Any] = self.body["choices"][0]
        return choice

    @property
    def text(self) -> str:
        return str(self.choice["message"].get("content") or "")


Spoil = Callable[[Reply], Reply]


class Fault(NamedTuple):
    about: str
    spoil: Spoil


@dataclass(frozen=True)
class Faults:
    """`share` of the attempts fail, each in one of `kinds`; only the first `first` attempts at a question where given.

    Every attempt at a question is drawn anew.
    """

    share: float = 0.0
    seed: int = 0
    kinds: tuple[str, ...] = ()
    first: int | None = None

    def draw(self, question: str, attempt: int) -> str | None:
        """The fault of that attempt (0, 1, …) at the question with that digest, None where it goes well."""
        kinds = self.kinds or USUAL
        drawn = hashlib.sha256(f"{self.seed}|{question}|{attempt}".encode()).digest()
        late = self.first is not None and attempt >= self.first
        if late or int.from_bytes(drawn[:6], "big") / 2**48 >= self.share:
            return None
        return kinds[int.from_bytes(drawn[6:12], "big") % len(kinds)]


def error_body(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "rehearsal", **more}}


def _status(status: int, message: str, headers: Mapping[str, str] | None = None, /, **more: Any) -> Spoil:
    return lambda _: Reply(error_body(message, **more), status, headers)


def _refuse(name: str, status: int, message: str, /, **more: Any) -> Spoil:
    """Refuse requests that have the field `name`."""
    return lambda reply: Reply(error_body(message, **more), status) if name in reply.asked else reply


def refuse_for_a_tenth(status: int) -> Spoil:
    """Refuse the question and charge for it."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.1}
    refusal = error_body("Your input was flagged by moderation", code=403)
    return lambda _: Reply({**refusal, "usage": usage}, status)


def _page(body: str, kind: str, code: int = 200) -> Spoil:
    return lambda _: Reply(body.encode(), code, {"Content-Type": kind})


def _top(**changes: Any) -> Spoil:
    """Change fields of the body, beside the choices."""
    return lambda reply: replace(reply, body={**reply.body, **changes})


def _choice(**changes: Any) -> Spoil:
    return lambda reply: replace(reply, body={**reply.body, "choices": [{**reply.choice, **changes}]})


def _message(finish: str | None = "stop", **changes: Any) -> Spoil:
    def spoil(reply: Reply) -> Reply:
        message = {**reply.choice["message"], **changes}
        return _choice(message=message, finish_reason=finish)(reply)

    return spoil


def _text(write: Callable[[str], str], finish: str = "stop") -> Spoil:
    """Send another text, made of the right one."""
    return lambda reply: _message(finish, content=write(reply.text))(reply)


def _say(text: str) -> Spoil:
    return _text(lambda _: text)


def _usage(**changes: Any) -> Spoil:
    """Change fields of the usage; None leaves a field out."""

    def spoil(reply: Reply) -> Reply:
        usage = {**reply.body["usage"], **changes}
        return _top(usage={name: value for name, value in usage.items() if value is not None})(reply)

    return spoil


def rewrite_usage(write: Callable[[Any], Any]) -> Spoil:
    return lambda reply: _usage(**{name: write(value) for name, value in reply.body["usage"].items()})(reply)


def rename_usage(reply: Reply) -> Reply:
    usage = reply.body["usage"]
    renamed = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    return _top(usage=renamed)(reply)


def count_reasoning_outside(reply: Reply) -> Reply:
    """Reasoning tokens that stand in the total only, as xAI counts them."""
    usage = reply.body["usage"]
    total, details = usage["total_tokens"] + 5000, {"reasoning_tokens": 5000}
    return _usage(total_tokens=total, completion_tokens_details=details)(reply)


def bill_elsewhere(reply: Reply) -> Reply:
    paid = reply.body["usage"].get("cost", 0.01)
    return _usage(cost=0, is_byok=True, cost_details={"upstream_inference_cost": paid})(reply)


def answer_in_reasoning(reply: Reply) -> Reply:
    return _message(content="", reasoning_content=reply.text)(reply)


def run_out(reply: Reply) -> Reply:
    """All tokens went into thinking, where fewer than 16,000 are allowed."""
    allowed = reply.asked.get("max_tokens") or reply.asked.get("max_completion_tokens") or math.inf
    return _message("length", content="")(reply) if allowed < 16_000 else reply


SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "repr": repr,
    "json": json.dumps,
    "url": lambda key: quote(key, safe=""),
    "html": escape,
    "hex": lambda key: key.encode().hex(),
    "base64": lambda key: b64encode(key.encode()).decode(),
    "basic": lambda key: b64encode(f"Basic {key}:".encode()).decode(),
}
"""Forms in which services were seen to send back the key they were sent."""


def _echo(write: Callable[[str], Spoil]) -> Spoil:
    """Send back the key in all spellings, where and how `write` says."""
    return lambda reply: write("your key: " + " ".join(spell(reply.key) for spell in SPELLINGS.values()))(reply)


def answer_with(keys: str) -> Spoil:
    return lambda reply: _top(model=keys)(_message(keys, content=json.dumps({"thesis": keys}))(reply))


def stream(reply: Reply) -> Reply:
    delta = {"choices": [{"index": 0, "delta": {"content": reply.text}}]}
    body = f"data: {json.dumps(delta)}\n\ndata: [DONE]\n\n".encode()
    return Reply(body, 200, {"Content-Type": "text/event-stream"})


def ask_to_wait(reply: Reply) -> Reply:
    return _status(429, "slow down", {"Retry-After": f"{reply.retry_after_s:g}"})(reply)


def ask_until_tomorrow(reply: Reply) -> Reply:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    return _status(429, "the day's requests are used up", {"Retry-After": tomorrow})(reply)


def run_out_short(reply: Reply) -> Reply:
    """All tokens went into thinking, and no more than 8,192 may be asked for."""
    allowed = reply.asked.get("max_tokens") or reply.asked.get("max_completion_tokens") or 0
    too_large = f"max_tokens is too large: {allowed}. This model supports at most 8192 completion tokens."
    return Reply(error_body(too_large), 400) if allowed > 8192 else _message("length", content="")(reply)


HTML = "<!DOCTYPE html>\n<html><head><title>{}</title></head><body><h1>{}</h1></body></html>"
FLAGGED = {"reasons": ["violence"], "flagged_input": "…", "provider_name": "OpenAI"}

FAULTS: Mapping[str, Fault] = {
    # Failures that pass: nothing was answered.
    "429": Fault("429 without Retry-After", _status(429, "slow down")),
    "429-retry-after": Fault("429 with Retry-After (--retry-after)", ask_to_wait),
    "500": Fault("500 with an error as JSON", _status(500, "the model fell over")),
    "502": Fault("502 with an error as JSON", _status(502, "the model fell over")),
    "cut": Fault("the connection ends without an answer", lambda reply: replace(reply, ending="cut")),
    "cut-body": Fault("the connection ends amid an answer", lambda reply: replace(reply, ending="cut-body")),
    "hang": Fault("nothing ever comes", lambda reply: replace(reply, ending="hang")),
    "empty": Fault("200 with a body of no bytes", _page("", "application/json")),
    # Answers that are delivered and of no use.
    "not-json": Fault("prose where JSON was asked for", _say("I would rather talk about the weather.")),
    "wrong-schema": Fault("JSON that fits no schema", _say('{"answer": 42}')),
    "truncated": Fault("half of the text, finish length", _text(lambda text: text[: len(text) // 2], "length")),
    "refusal": Fault("the model's own refusal", _message(content=None, refusal="I cannot help with that.")),
    # More failures that pass, as gateways and hosts send them.
    "retry-after-day": Fault("429 with Retry-After: 86400", _status(429, "slow down", {"Retry-After": "86400"})),
    "retry-after-date": Fault("429 with an HTTP date a day ahead as Retry-After", ask_until_tomorrow),
    "503-html": Fault("503 with an HTML page", _page(HTML.format("503", "Back soon"), "text/html", 503)),
    "529": Fault("529, overloaded", _status(529, "Overloaded", type="overloaded_error")),
    "html": Fault("200 with an HTML page", _page(HTML.format("Log in", "Welcome"), "text/html; charset=utf-8")),
    "sse": Fault("200 with a stream of events", stream),
    "200-array": Fault("200 with a JSON array", lambda _: Reply([error_body("busy")])),
    "200-error": Fault("200 with a gateway's error (502) inside", _status(200, "Provider returned error", code=502)),
    "200-rate-limit": Fault("200 with a rate limit (429) inside", _status(200, "Rate limit exceeded", code=429)),
    "200-error-text": Fault("200 with a code as text inside", _status(200, "upstream timed out", code="timeout")),
    "no-choices": Fault("200 without choices, with usage", _top(choices=[])),
    "null-choices": Fault("200 with choices null", _top(choices=None)),
    "error-beside": Fault("an error beside a whole choice", _top(error={"code": 502, "message": "upstream broke off"})),
    "error-inside": Fault("an error inside a choice", _choice(error={"code": 502, "message": "upstream broke off"})),
    "finish-error": Fault("finish error", _choice(finish_reason="error")),
    "finish-null": Fault("finish null", _choice(finish_reason=None)),
    "empty-content": Fault("content of no characters, finish stop", _message(content="")),
    "blank-content": Fault("content of blanks only, finish stop", _message(content=" \n\n ")),
    "null-content": Fault("content null, finish stop", _message(content=None)),
    "text-api-error": Fault("API Error: … as the text", _say("API Error: 529 Overloaded")),
    "text-rate-limit": Fault("a rate limit as the text", _say("Rate limit exceeded. Please try again in 20s.")),
    "text-used-up": Fault("a used-up allowance as the text", _say("You've hit your limit · resets 1pm")),
    # Where the text went.
    "reasoning-content": Fault("the answer in reasoning_content, content empty", answer_in_reasoning),
    "empty-length": Fault("nothing but thinking, finish length", _message("length", content="")),
    "run-out": Fault("the same where max_tokens is below 16,000", run_out),
    "run-out-short": Fault("the same, and 400 where max_tokens is above 8,192", run_out_short),
    "content-object": Fault("the answer as an object, not as text", lambda reply: _message(content={"n": 0})(reply)),
    "parts": Fault("content in parts", lambda reply: _message(content=[{"type": "text", "text": reply.text}])(reply)),
    # Refusals of a question, a field, or everything.
    "401": Fault("401, no such key", _status(401, "invalid api key")),
    "402": Fault("402, no credit", _status(402, "Insufficient credits")),
    "404": Fault("404, no such model", _status(404, "model not found")),
    "quota": Fault("429, insufficient_quota", _status(429, "You exceeded your quota", code="insufficient_quota")),
    "redirect": Fault("302 to a page to log in", _status(302, "", {"Location": "https://login.example.com/sso"})),
    "moderation": Fault(
        "403, input flagged by moderation",
        _status(403, 'Model requires moderation. Your input was flagged for "violence".', code=403, metadata=FLAGGED),
    ),
    "moderation-paid": Fault("the same, and it tells a cost of $0.10", refuse_for_a_tenth(403)),
    "moderation-paid-200": Fault("the same inside a 200", refuse_for_a_tenth(200)),
    "content-filter": Fault("finish content_filter", _message("content_filter", content=None)),
    "bare-400": Fault(
        "400 with no body where a schema is sent",
        lambda reply: Reply(b"", 400) if "response_format" in reply.asked else reply,
    ),
    "no-schema": Fault(
        "400 about response_format", _refuse("response_format", 400, "response_format json_schema is not supported")
    ),
    "no-json-output": Fault(
        "400, does not support Json Output",
        _refuse("response_format", 400, "deepseek-reasoner does not support Json Output"),
    ),
    "no-endpoints": Fault(
        "404, no endpoints that can handle the requested parameters",
        _refuse("response_format", 404, "No endpoints found that can handle the requested parameters."),
    ),
    "no-max-tokens": Fault(
        "400, max_tokens unknown: use max_completion_tokens",
        _refuse(
            "max_tokens",
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
    ),
    "no-max-completion-tokens": Fault(
        "400, max_completion_tokens unknown",
        _refuse("max_completion_tokens", 400, "Unrecognized request argument supplied: max_completion_tokens"),
    ),
    "no-temperature": Fault(
        "400, temperature refused",
        _refuse(
            "temperature",
            400,
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    # Texts that are easily misread.
    "think-draft": Fault(
        "a draft in <think> before the answer", _text(lambda text: f'<think>{{"draft": true}}</think>\n{text}')
    ),
    "think-open": Fault("a thought that never ends", _text(lambda text: f"<think>{text}")),
    "fenced": Fault("the answer in a code fence", _text(lambda text: f"Here it is:\n```json\n{text}\n```")),
    "infinite-number": Fault("1e999 as a number", _say('{"conviction": 1e999}')),
    "control-characters": Fault("ESC, OSC and bidi controls", _text(lambda t: f"\x1b[31m\x1b]0;x\x07\u202e{t}\x00")),
    "lone-surrogate": Fault("half an emoji", _text(lambda text: text + "\ud83d")),
    # The model that served.
    "other-model": Fault("another model served", _top(model="rehearsal-mini")),
    "dated-model": Fault(
        "a dated name of the same model",
        lambda reply: _top(model=f"{reply.asked.get('model')}-2026-01-15")(reply),
    ),
    # Usage and costs.
    "no-usage": Fault("no usage", _top(usage=None)),
    "usage-zeros": Fault("usage all zeros", rewrite_usage(lambda _: 0)),
    "usage-floats": Fault("tokens as floats", rewrite_usage(float)),
    "usage-text": Fault("tokens as text", rewrite_usage(str)),
    "usage-input-output": Fault("input_tokens and output_tokens", rename_usage),
    "usage-reasoning-outside": Fault("5,000 reasoning tokens in the total only", count_reasoning_outside),
    "byok": Fault("cost 0, the host's bill in cost_details", bill_elsewhere),
    "cost-infinite": Fault("an infinite cost", _usage(cost=math.inf)),
    "cost-nan": Fault("a cost that is NaN", _usage(cost=math.nan)),
    "cost-negative": Fault("a cost below 0", _usage(cost=-1.0)),
    "cost-huge": Fault("a cost of $1,000,000", _usage(cost=1e6)),
    "cost-tenth": Fault("a cost of $0.10, whatever was asked", _usage(cost=0.1)),
    # The key that was sent, in eight spellings.
    "echo-401": Fault("the key in a 401", _echo(lambda keys: _status(401, keys))),
    "echo-429": Fault("the key in a 429", _echo(lambda keys: _status(429, keys, {"X-Key": keys, "Retry-After": keys}))),
    "echo-400": Fault("the key in a 400", _echo(lambda keys: _status(400, "no " + 220 * "x" + keys, code=keys))),
    "echo-page": Fault("the key in an HTML page", _echo(lambda keys: _page(HTML.format(keys, keys), "text/html", 503))),
    "echo-redirect": Fault(
        "the key in a redirect", _echo(lambda k: _status(302, "", {"Location": f"https://h/?k={k}"}))
    ),
    "echo-200": Fault("the key in an error inside a 200", _echo(lambda keys: _status(200, keys, code=403))),
    "echo-choice": Fault("the key in an error inside a choice", _echo(lambda keys: _choice(error={"message": keys}))),
    "echo-answer": Fault("the key as the text, the model, and the end", _echo(answer_with)),
    "echo-refusal": Fault("the key in the model's own refusal", _echo(lambda k: _message(content=None, refusal=k))),
}

USUAL = ("429", "429-retry-after", "500", "502", "cut", "cut-body", "hang", "empty",
         "not-json", "wrong-schema", "truncated", "refusal")  # fmt: skip
"""Kinds drawn where none are named."""
