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
from simulator.keys import scrub
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

PASSES = re.compile(
    r"rate.?limit|too many requests|throttled|throttling|overloaded|time-?out|timed[ -]?out|deadline exceeded"
    r"|\bE(CONN|TIMEDOUT|NOTFOUND|AI_AGAIN|PIPE)\w*|socket hang up|fetch failed|bad gateway|gateway (error|time)"
    r"|(internal|server).{0,3}(server|error)\b|(temporarily|currently) (not available|unavailable|down|busy)"
    r"|(service|server|backend|filter|registry|provider|moderation|system)\b.{0,30}\b(unavailable|busy|is down)"
    r"|serviceunavailable|no healthy upstream|from upstream\b|upstream (error|request|connect|host|time|serv)"
    r"|connection (error|reset|refused|closed|aborted|lost|failed)|network error|unknown error (has )?occurred"
    r"|try again (later|shortly|soon|in (a|\d))|please retry(?! with)|retry (later|after|in \d|your request)"
    r"|model (is )?(still |currently )?loading|under maintenance|maintenance in progress|stream (error|closed)"
    r"|concurrent requests|concurrency limit|no available (server|channel|instance|provider|worker|endpoint)"
    r"|(high|heavy|unusual) (demand right|load on|traffic on)|(reach|connecting to) (the )?(upstream|network|server)"
    r"|CUDA (error|out of)|code = \w+ desc = ",
    re.IGNORECASE,
)
"""Words of a service's machinery, wherever they stand in a short complaint."""
PASSING_TEXT = re.compile(
    r"(undefined|null|\[object object\]|(an? )?error|loading|please wait)\W*$|(?!\[\])\W*$"
    r"|\W*(API Error\b|(error\W*)?(code\W*)?(408|409|429|5\d\d)\b"
    r"|((the|our|this) )?(service|server|model|engine|system|upstream)\b"
    r".{0,40}\b(overloaded|unavailable|busy|at capacity|error)"
    r"|request (was )?aborted|provider returned error|.{0,40}\bresources?\b.{0,20}exhausted"
    r"|.{0,40}\b(check|exceed\w*)\b.{0,25}\bquota"
    r"|(you.?ve|you have) (hit|reached|exceeded)\b.{0,40}\b(limit|quota)"
    r"|.{0,40}\b(limit|quota) (was |has been )?(reached|exceeded)|(an? )?(unexpected |unknown )?error (has )?occurred"
    r"|.{0,20}\bEOF\b|(sorry, )?something went wrong|((request failed with )?status|http(error)?)\W*(code )?[45]\d\d"
    r"|invalid api key|(your )?credit balance|insufficient (credit|balance|quota)"
    r"|please run /login|not logged in|oauth token|unauthori[sz]ed|authentication (failed|error)|\[done\]$"
    r"|.{0,20}(系统繁忙|服务器?繁忙|请稍后[再重]试|负载已饱和|请求过(多|于频繁)))",
    re.IGNORECASE,
)
TROUBLE = re.compile(
    r"limit|quota|exhausted|overload|throttl|time.?out|timed.out|unavailable|upstream|gateway|connection|retry"
    r"|try again|too many|busy|capacity|internal|server|crash|unauthori[sz]ed|\berror\b|\b[45]\d\d\b",
    re.IGNORECASE,
)
"""Words of an object that has no fields but `ERROR_FIELD`."""
ERROR_FIELD = re.compile(
    r"errors?|_*type|object|message|msg|details?|title|reason|description|success|ok|fault|path|timestamp|param|status|code"
    r"|(error|status|request|trace|retry)_?(code|message|description|id|after)",
    re.IGNORECASE,
)
WRAPPING = re.compile(r"^(```\w*\s*|(data|event):\s*)|\s*```$")
PAGE = re.compile(r"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
LONGEST_PASSING = 500
"""Characters up to which a text can be an error message instead of an answer."""


def begin_of(content: bytes) -> str:
    """The first printable characters, in one line."""
    text = " ".join(scrub(content.decode("utf-8", "replace")).split())
    shown = "".join(letter for letter in text if letter.isprintable())
    return shown[:SHOWN] + ("…" if len(shown) > SHOWN else "")


def is_passing(text: str, schema: Mapping[str, Any] | None = None) -> bool:
    """True where a text is no answer but the message of a failure that may pass, or nothing at all."""
    text = WRAPPING.sub("", "".join(one for one in text if one.isprintable() or one.isspace()).strip())
    if not text or PAGE.match(text):
        return True
    try:
        found = json.loads(text) if text[0] in '{["n' else text
    except (ValueError, RecursionError):
        found = text
    found = found[0] if isinstance(found, list) and len(found) == 1 else found
    if isinstance(found, Mapping):
        return _is_error(found, schema or {})
    return found is None or (
        isinstance(found, str) and _tells_of_trouble(found, (schema or {}).get("properties") or {})
    )


def _is_error(found: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """True for an object of a service instead of the fields of `schema`."""
    if not found:
        return bool(schema.get("required", True))
    if found.keys() & (schema.get("properties") or {}).keys():
        return False
    error = found.get("error") or found.get("errors") or found.get("fault")
    if isinstance(error, Mapping | list) or (isinstance(error, str) and _tells_of_trouble(error, {})):
        return True
    told = [value for value in found.values() if value]
    return all(map(ERROR_FIELD.fullmatch, found)) and (not told or TROUBLE.search(json.dumps(told)) is not None)


def _tells_of_trouble(text: str, fields: Mapping[str, Any]) -> bool:
    """True for a short text with words of a service's machinery and none of the `fields` that were asked for."""
    if len(text) > LONGEST_PASSING:
        return False
    # A message may carry the service's own error object; any other object may be an answer.
    names = "|".join(map(re.escape, fields))
    if names and re.search(rf"""(^|["'{{,*])\s*({names})["'*]*\s*[:=]""", text, re.MULTILINE):
        return False
    if not names and "{" in text and not re.search("""["']error["']""", text):
        return False
    return PASSING_TEXT.match(text) is not None or PASSES.search(text) is not None


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
    # Words of a passing failure win over all others: what is asked must not depend on it.
    passes = status in PASSING or status >= 500 or (400 <= status != 402 and PASSES.search(complaint))
    if passes:
        after = retry_after(headers, datetime.now(UTC))
        throttled = status == 429 or (status < 500 and says_throttled(complaint))
        raise TransientError(f"{status} {complaint}".strip(), retry_after=after, throttled=throttled)
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
    if status not in (400, 404, 415, 422):
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
    about_schema = ABOUT_SCHEMA.search(complaint) or (status == 400 and BARE.fullmatch(complaint))
    if request.sends_schema and about_schema:
        return "schema"
    if ANY_FIELD.search(complaint):
        sent = ["schema"] if request.sends_schema else []
        sent += [name for name in SETTINGS if getattr(request, name) is not None]
        return sent[0] if sent else None
    return None


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
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def complaint_of(content: bytes) -> str:
    """The error object of a body that is JSON, else the beginning of its text."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return begin_of(content) if PAGE.match(text) else " ".join(scrub(text).split())[:LONGEST_COMPLAINT]
    return shorten(body.get("error", body) if isinstance(body, dict) else body)


def shorten(error: Any) -> str:
    if isinstance(error, Mapping):
        parts = [str(error[name]) for name in ("message", "code", "type") if error.get(name)]
        error = ", ".join(dict.fromkeys(parts)) or json.dumps(error)
    # Before it is cut: the beginning of a key is no key that could be found.
    return " ".join(scrub(str(error)).split())[:LONGEST_COMPLAINT]
