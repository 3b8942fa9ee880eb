"""Reading of what services send in place of an answer: what passes, what lasts, which field of a question is refused.

status, body ─► raise_or_refuse ─┬── TransientError       429, 5xx, gateway errors inside a 200: asked again
                                 ├── RefusedFieldError    a field is refused: asked without it
                                 ├── ChatResponse         the question itself is refused (moderation): an answer
                                 └── LLMError             key, credit, model: the run ends
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from simulator.errors import LLMError
from simulator.llm.forms import ran_out
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers import RefusedFieldError, TransientError

PASSING = {408, 409, 423, 425, 429}
LONGEST_COMPLAINT = 300
"""Characters of a service's complaint that are passed on."""
SHOWN = 80
"""Characters shown of a page that is no answer."""

ABOUT_SCHEMA = re.compile(
    r"response.?format|json.?(schema|output|mode|object)|schema|grammar|structured", re.IGNORECASE
)
ANY_FIELD = re.compile(r"no endpoints found that|requested parameters", re.IGNORECASE)
BARE = re.compile(
    r"\W*(400|bad request|invalid( request)?|error|null|none|provider returned error|unknown error|[\W\d])*",
    re.IGNORECASE,
)
FILTERED = re.compile(
    r"content.?filter|content.?policy|responsible.?ai|moderation|(input|prompt|content|request)\W.{0,20}\bflagged"
    r"|flagged (as|for)|safety (system|setting|filter|polic)|usage polic|inappropriate content|DataInspectionFailed",
    re.IGNORECASE,
)
REFUSED = (
    r"unsupported|not support|unrecognized|unknown|unexpected|not permitted|not allowed|deprecated|extra (input|field)"
)
SETTINGS = ("temperature", "top_p", "seed")
LASTING = (
    "invalid_request",
    "context_length",
    "not_found",
    "authentication",
    "invalid_api_key",
    "permission",
    "billing",
)

PASSING_TEXT = re.compile(
    r"\W*(API Error\b|(error\W*)?(code\W*)?(408|409|429|5\d\d)\b|rate.?limit(ed|s)?\b|too many requests|overloaded"
    r"|((the|our|this) )?(service|server|model|engine|system|upstream)\b"
    r".{0,40}\b(overloaded|unavailable|busy|at capacity|error)"
    r"|internal (server )?error|bad gateway|gateway time-?out|temporarily unavailable"
    r"|connection (error|reset|refused|timed? ?out)|request (was )?(timed? ?out|aborted)"
    r"|(you.?ve|you have) (hit|reached|exceeded)\b.{0,40}\b(limit|quota)"
    r"|.{0,40}\b(limit|quota) (was |has been )?(reached|exceeded)|(an? )?(unexpected |unknown )?error (has )?occurred"
    r"|(sorry, )?something went wrong|network error|(request failed with status|http(error)?)\W*(code )?[45]\d\d"
    r"|(please )?try again (later|in \d)|invalid api key|(your )?credit balance|insufficient (credit|balance|quota)"
    r"|please run /login|not logged in|oauth token|unauthori[sz]ed|authentication (failed|error)"
    r"|.{0,20}(系统繁忙|服务器?繁忙|请稍后[再重]试|负载已饱和|请求过(多|于频繁)))",
    re.IGNORECASE,
)
PAGE = re.compile(r"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
LONGEST_PASSING = 500
"""Characters up to which a text can be an error message instead of an answer."""


def begin_of(content: bytes) -> str:
    """The first printable characters, in one line."""
    text = " ".join(content.decode("utf-8", "replace").split())
    shown = "".join(letter for letter in text if letter.isprintable())
    return shown[:SHOWN] + ("…" if len(shown) > SHOWN else "")


def is_passing(text: str, schema: Mapping[str, Any] | None = None) -> bool:
    """True where a text is no answer but the message of a failure that may pass, or nothing at all."""
    text = text.strip()
    if not text or PAGE.match(text):
        return True
    fields = ((schema or {}).get("properties") or {}).keys()
    if text.startswith("{") and '"error"' in text and "error" not in fields:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return False
        error = found.get("error") if isinstance(found, dict) and not found.keys() & fields else None
        return isinstance(error, Mapping) or (isinstance(error, str) and PASSING_TEXT.match(error) is not None)
    # A message may carry the service's own error object; any other object may be an answer.
    plain = "{" not in text or re.search("""["']error["']""", text) is not None
    return plain and len(text) <= LONGEST_PASSING and PASSING_TEXT.match(text) is not None


def is_failure(response: ChatResponse, schema: Mapping[str, Any] | None = None) -> bool:
    """True for a stored answer that is none: a lasting failure, or a passing one that an older version stored."""
    if response.outcome != "answer":
        return True
    return not ran_out(response) and is_passing(response.text, schema)


def raise_or_refuse(
    request: ChatRequest, status: int, headers: Mapping[str, str], content: bytes, key_env: str = ""
) -> ChatResponse:
    """Read a status other than 2xx, or such a code inside a 200: a refused question is returned, all else raised."""
    complaint = complaint_of(content)
    if status == 429 and "insufficient_quota" in complaint:
        raise LLMError(f"credit is used up ({complaint})", where=request.endpoint, mend="add credit there")
    # A 5xx is a refusal only where it says so in as many words: what is asked must not depend on a passing failure.
    refused = (
        status in (500, 501) and _refuses_schema(request, complaint) and re.search(REFUSED, complaint, re.IGNORECASE)
    )
    if status in PASSING or (status >= 500 and not refused):
        after = retry_after(headers, datetime.now(UTC))
        raise TransientError(f"{status} {complaint}".strip(), retry_after=after, throttled=status == 429)
    text = content.decode("utf-8", "replace")[:2000]
    if status in (400, 403) and FILTERED.search(text) and not PAGE.match(text):
        return ChatResponse(complaint, outcome="refusal", finish="content_filter")
    if field := refused_field(request, status, complaint):
        bare = BARE.fullmatch(complaint) is not None
        what = "the JSON schema" if field == "schema" else field
        found = f"{request.endpoint} refuses {what} for {request.model} ({status} {complaint})"
        raise RefusedFieldError(found, field, certain=not bare)
    where, mend = f"{request.endpoint}, {request.model}", "check model, endpoint and settings of its seats"
    if 300 <= status < 400:
        target = headers.get("location", "nowhere")
        raise LLMError(f"was refused ({status}, redirects to {target})", where=where, mend="name the service's own URL")
    if status in (401, 403):
        mend = f"check {key_env}" if key_env else "say api_key_env: NAME in its seats in config/models.yaml"
    elif status == 402:
        mend = "add credit there"
    else:
        mend += " in config/models.yaml"
    raise LLMError(f"was refused ({status} {complaint})", where=where, mend=mend)


def refused_field(request: ChatRequest, status: int, complaint: str) -> str | None:
    """The field of `request` that `complaint` refuses: schema, max_tokens, max_completion_tokens, temperature, …

    One that says nothing at all is taken for a refusal of the schema.
    """
    if status not in (400, 404, 415, 422, 500, 501):
        return None
    limit = request.limit_name
    if request.max_tokens is not None and status in (400, 422):
        other = "max_tokens" if limit == "max_completion_tokens" else "max_completion_tokens"
        names = re.search(rf"\b{limit}\b", complaint)
        if names and (re.search(REFUSED, complaint, re.IGNORECASE) or re.search(rf"\b{other}\b", complaint)):
            return limit
    for name in SETTINGS:
        if getattr(request, name) is not None and re.search(rf"\b{name}\b", complaint, re.IGNORECASE):
            return name
    if _refuses_schema(request, complaint) or (request.sends_schema and status == 400 and BARE.fullmatch(complaint)):
        return "schema"
    if ANY_FIELD.search(complaint):
        sent = ["schema"] if request.sends_schema else []
        sent += [name for name in SETTINGS if getattr(request, name) is not None]
        return sent[0] if sent else None
    return None


def _refuses_schema(request: ChatRequest, complaint: str) -> bool:
    return request.sends_schema and ABOUT_SCHEMA.search(complaint) is not None


def read_error(
    request: ChatRequest, error: Any, headers: Mapping[str, str], key_env: str = "", *, amid_answer: bool = False
) -> ChatResponse:
    """Read an error that stands in a 200: by its code where it has one. As `raise_or_refuse`.

    Beside the beginning of an answer (`amid_answer`) it says that the answer broke off, not that the question is bad.
    """
    named = error if isinstance(error, Mapping) else {}
    code = named.get("code", named.get("status"))
    kinds = f"{code} {named.get('type')}"
    content = json.dumps({"error": error}).encode()
    code = int(code) if isinstance(code, float) and code.is_integer() else code
    lasting = not amid_answer or str(code) in ("401", "402", "403")
    if re.fullmatch(r"[45]\d\d", str(code)) and (lasting or int(str(code)) in PASSING or int(str(code)) >= 500):
        code = int(str(code))
        return raise_or_refuse(request, code, headers, content, key_env)
    if "insufficient_quota" in kinds:
        return raise_or_refuse(request, 429, headers, content, key_env)
    if (lasting and any(word in kinds for word in LASTING)) or FILTERED.search(kinds):
        return raise_or_refuse(request, 400, headers, content, key_env)
    throttled = says_throttled(kinds)
    raise TransientError(f"answered without an answer ({shorten(error)})", throttled=throttled, perhaps_paid=True)


def says_throttled(text: str) -> bool:
    return re.search(r"\b429\b|rate.?limit|too.?many", text, re.IGNORECASE) is not None


def parse_object(content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Parse a body. Raises TransientError that says what came instead."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        return body
    kind = headers.get("content-type", "").partition(";")[0]
    if not content.strip():
        raise TransientError("answered with an empty body")
    if PAGE.match(content[:200].decode("utf-8", "replace")):
        what = "an HTML page"
    elif kind == "text/event-stream" or content.lstrip().startswith((b"data:", b"event:", b": ")):
        what = "a stream of events"
    else:
        what = "a body that is not a JSON object"
    raise TransientError(f"answered with {what}: {begin_of(content)}", perhaps_paid=what != "an HTML page")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds of ``Retry-After``, a number or a date, or of ``retry-after-ms``; None without either."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def complaint_of(content: bytes) -> str:
    """The error object of a body that is JSON, else the beginning of its text."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return begin_of(content) if PAGE.match(text) else " ".join(text.split())[:LONGEST_COMPLAINT]
    return shorten(body.get("error", body) if isinstance(body, dict) else body)


def shorten(error: Any) -> str:
    if isinstance(error, Mapping):
        parts = [str(error[name]) for name in ("message", "code", "type") if error.get(name)]
        error = ", ".join(dict.fromkeys(parts)) or json.dumps(error)
    return " ".join(str(error).split())[:LONGEST_COMPLAINT]
