"""Any service that speaks OpenAI's chat-completions protocol: Requesty, OpenAI, OpenRouter, vLLM, Ollama, llama.cpp.

    ChatRequest ─► request body ─► openai SDK, one attempt ─► status, body ─► ChatResponse
                                                                  ├── 429, 5xx, time-out, cut, empty: TransientError
                                                                  ├── 400 about the schema: SchemaRefusedError
                                                                  └── anything else: LLMError

Retries, limits and money are the gateway's. Keys come from the environment and go into the request's header only.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from simulator.config import Seat
from simulator.errors import ConfigError, LLMError
from simulator.keys import read_key, scrub, scrub_bytes
from simulator.llm.messages import ChatRequest, ChatResponse, FrozenSchema, Outcome, canonical_json
from simulator.llm.providers import Price, SchemaRefusedError, TransientError, free, is_local, stamp
from simulator.llm.registry import OPENAI_COMPATIBLE
from simulator.llm.spending.usage import read_usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_NAMES = {
    "router.requesty.ai": "REQUESTY_API_KEY",
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
}
INSTALL = "`pip install 'council-simulator[llm]'` installs it"
PASSING = {408, 409, 423, 425, 429}
ABOUT_SCHEMA = re.compile(r"response_format|json_schema|schema|grammar|structured", re.IGNORECASE)
FILTERED = re.compile(r"content_filter|content_policy|responsible_ai", re.IGNORECASE)
CONNECT_SECONDS = 15.0
PER_CLIENT = 16
"""Questions in flight per client, which searches all its connections for each: a few small clients are faster."""
LONGEST_COMPLAINT = 300
"""Characters of a service's complaint that are passed on."""


@dataclass(frozen=True)
class Endpoint:
    """Settings of a service beside its URL: the variable that holds its key, and seconds an attempt may take."""

    key_env: str = ""
    timeout_s: float = 300.0


@dataclass(eq=False)
class Client:
    """A client of the SDK, and how many questions it is asking."""

    sdk: AsyncOpenAI
    busy: int = 0


class OpenAICompatible:
    """A provider over HTTP. Needs the ``llm`` extra; says so on the first question and not before.

    Parameters
    ----------
    endpoints : base URL → how it is reached; URLs not named are reached with what is known of their host
    price : dollars to book for an answer, by its tokens and the ``usage.cost`` that the service tells
    """

    name = OPENAI_COMPATIBLE

    def __init__(self, endpoints: Mapping[str, Endpoint] | None = None, price: Price = free) -> None:
        self._endpoints, self._price = dict(endpoints or {}), price
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, list[Client]]] = WeakKeyDictionary()

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """One attempt. Raises TransientError, SchemaRefusedError, LLMError; ConfigError without key, URL or SDK."""
        endpoint = self._endpoint(request)
        client = self._client(request.endpoint, endpoint)
        return await stamp(self._ask(request, client, endpoint))

    async def _ask(self, request: ChatRequest, client: Client, endpoint: Endpoint) -> ChatResponse:
        client.busy += 1
        try:
            status, headers, content = await _post(client.sdk, body_of(request), endpoint.timeout_s)
        finally:
            client.busy -= 1
        try:
            if status != 200:
                return _refusal(request, status, headers, content, endpoint.key_env)
            return self._answer(request, _parse_object(content))
        except LLMError as error:
            # Services charge for some answers that are of no use, and say so beside the error.
            if usage := _usage_in(content):
                error.paid_usd = read_usage(request, "", usage, self._price).cost_usd
            raise

    async def close(self) -> None:
        """Close the connections of the running event loop; the next question opens new ones."""
        for clients in self._clients.pop(asyncio.get_running_loop(), {}).values():
            for client in clients:
                await client.sdk.close()

    def check(self, asked: Seat) -> None:
        """Raise ConfigError where a question to `asked` could not be sent: no address, no key, or one that is none."""
        endpoint = self._endpoint(asked)
        if endpoint.key_env:
            read_key(endpoint.key_env, asked.endpoint)

    def _endpoint(self, request: ChatRequest | Seat) -> Endpoint:
        if not request.endpoint:
            mend = "give its seat an endpoint, e.g. https://router.requesty.ai/v1"
            raise ConfigError("has no endpoint", where=f"config/models.yaml, model {request.model}", mend=mend)
        configured = self._endpoints.get(request.endpoint, Endpoint())
        host = urlsplit(request.endpoint).hostname or ""
        name = configured.key_env or next((KEY_NAMES[end] for end in KEY_NAMES if f".{host}".endswith(f".{end}")), "")
        if not name and not is_local(request.endpoint):
            mend = "say api_key_env: NAME in its seats"
            raise ConfigError(f"which variable holds the key of {host}?", where="config/models.yaml", mend=mend)
        return Endpoint(name, configured.timeout_s)

    def _client(self, url: str, endpoint: Endpoint) -> Client:
        """The first client that is not busy, a further one where all are."""
        clients = self._clients.setdefault(asyncio.get_running_loop(), {}).setdefault(url, [])
        for client in clients:
            if client.busy < PER_CLIENT:
                return client
        clients.append(Client(_connect(url, endpoint)))
        return clients[-1]

    def _answer(self, request: ChatRequest, body: Mapping[str, Any]) -> ChatResponse:
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise _no_choices(request, body)
        choice = choices[0]
        message = choice.get("message") or {}
        finish = str(choice.get("finish_reason") or "")
        if finish == "error":
            raise TransientError(f"the model broke off ({_shorten(choice.get('error') or body)})")
        text, refusal = message.get("content"), message.get("refusal")
        if isinstance(text, list):
            # Some services send a message in parts.
            text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
        text = text if isinstance(text, str) else ""
        outcome: Outcome = "refusal" if refusal or finish == "content_filter" else "answer"
        usage = read_usage(request, text, body.get("usage"), self._price)
        return ChatResponse(
            str(refusal) if refusal else text, outcome, model=str(body.get("model") or ""), usage=usage, finish=finish
        )


def endpoints_of(seats: Iterable[Seat]) -> dict[str, Endpoint]:
    """{URL: settings} of the services of `seats`. Raises ConfigError where two seats name two keys for one service."""
    found: dict[str, Endpoint] = {}
    for seat in seats:
        if seat.provider != OPENAI_COMPATIBLE:
            continue
        before = found.get(seat.endpoint, Endpoint("", 0.0))
        if before.key_env and seat.api_key_env and before.key_env != seat.api_key_env:
            names = f"{before.key_env} and {seat.api_key_env}"
            raise ConfigError(f"{seat.endpoint} has two keys, {names}", where="config/models.yaml", mend="keep one")
        found[seat.endpoint] = Endpoint(before.key_env or seat.api_key_env, max(before.timeout_s, seat.timeout_s))
    return found


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Make the request body. A schema stands in ``response_format`` by `native_schema`, else in the prompt."""
    messages = [{"role": role, "content": text} for role, text in with_plain_schema(request)]
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if request.schema is not None and request.native_schema:
        body["response_format"] = response_format(request.schema)
    # OpenAI's own reasoning models refuse the older name; nobody else knows the newer one everywhere.
    newest = urlsplit(request.endpoint).hostname == "api.openai.com"
    given = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens" if newest else "max_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": [dict(tool) for tool in request.tools] or None,
        "reasoning": None if request.reasoning is None else dict(request.reasoning),
    }
    return {**body, **{name: value for name, value in given.items() if value is not None}, **(request.extra or {})}


def with_plain_schema(request: ChatRequest) -> list[tuple[str, str]]:
    """[(role, text)] of the messages; the last one ends with the schema where the service is not to enforce it."""
    texts = [(str(message.role), message.content) for message in request.messages]
    if request.schema is not None and not request.native_schema and texts:
        role, text = texts[-1]
        texts[-1] = role, text + PLAIN.format(schema=canonical_json(dict(request.schema)).decode())
    return texts


PLAIN = "\n\nAnswer with one JSON object that satisfies this JSON schema, and with nothing else:\n{schema}"


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's structured output; ``strict`` only for schemas that meet what strict demands."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]
    described: dict[str, Any] = {"name": name, "schema": dict(schema)}
    if _is_strict(schema.canonical_json if isinstance(schema, FrozenSchema) else canonical_json(dict(schema))):
        described["strict"] = True
    return {"type": "json_schema", "json_schema": described}


@lru_cache(maxsize=256)
def _is_strict(schema: bytes) -> bool:
    """True where every object in it names all its properties, requires them and forbids others."""
    parts: list[Any] = [json.loads(schema)]
    while parts:
        part = parts.pop()
        if isinstance(part, Mapping):
            if part.get("type") == "object":
                properties = set(part.get("properties") or ())
                if part.get("additionalProperties") is not False or set(part.get("required") or ()) != properties:
                    return False
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return True


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds of ``Retry-After``, a number or a date, or of ``retry-after-ms``; None without either."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _connect(url: str, endpoint: Endpoint) -> AsyncOpenAI:
    try:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
    except ImportError:
        raise ConfigError("asking a model needs the openai package", mend=INSTALL) from None
    key = read_key(endpoint.key_env, url) if endpoint.key_env else "none"
    timeout = Timeout(endpoint.timeout_s, connect=min(CONNECT_SECONDS, endpoint.timeout_s))
    client = AsyncOpenAI(
        api_key=key,
        admin_api_key="",
        base_url=url,
        timeout=timeout,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(
            timeout=timeout,
            trust_env=not is_local(url),
            follow_redirects=False,
            # Certificates take time to load, and plain HTTP needs none.
            verify=urlsplit(url).scheme != "http",
        ),
    )
    # The SDK takes them from the environment, and would send them to services they do not concern.
    client.organization = client.project = None
    return client


async def _post(client: AsyncOpenAI, body: Mapping[str, Any], timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
    """Return (status, headers, body) of one attempt. Raises TransientError where none came."""
    import openai
    from httpx2 import Response

    try:
        async with asyncio.timeout(timeout_s):
            # Not chat.completions.create, which spends a millisecond on types and lacks fields of some services.
            raw = await client.post("/chat/completions", cast_to=Response, body=dict(body))
    except openai.APIStatusError as error:
        raw = error.response
    except (TimeoutError, openai.APITimeoutError):
        raise TransientError(f"no answer within {timeout_s:g} s", timed_out=True, perhaps_paid=True) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        never_sent = type(cause).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")
        reason = str(cause) or type(cause).__name__
        raise TransientError(f"connection failed ({reason})", perhaps_paid=not never_sent) from None
    # Services echo the key they were sent. Struck out here, before anything is cut to length.
    headers = {name.lower(): scrub(value) for name, value in raw.headers.items()}
    return raw.status_code, headers, scrub_bytes(raw.content)


def _parse_object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        what = "an empty body" if not content.strip() else "a body that is not a JSON object"
        raise TransientError(f"answered with {what}")
    return body


def _usage_in(content: bytes) -> Mapping[str, Any]:
    """The usage a body reports; empty where it reports none."""
    try:
        usage = json.loads(content).get("usage")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return usage if isinstance(usage, dict) else {}


def _no_choices(request: ChatRequest, body: Mapping[str, Any]) -> LLMError:
    # Routers answer 200 with an error inside when the service behind them failed.
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 500 and code not in PASSING:
        return LLMError(f"was refused ({code}: {_shorten(error)})", where=f"{request.endpoint}, {request.model}")
    return TransientError(f"answered without an answer ({_shorten(error or body)})")


def _refusal(
    request: ChatRequest, status: int, headers: Mapping[str, str], content: bytes, key_env: str
) -> ChatResponse:
    """Read a status other than 200: the model's refusal is returned, everything else raised."""
    complaint = _complaint(content)
    if status == 429 and "insufficient_quota" in complaint:
        raise LLMError(f"credit is used up ({complaint})", where=request.endpoint, mend="add credit there")
    if status in PASSING or status >= 500:
        after = retry_after(headers, datetime.now(UTC))
        raise TransientError(f"{status} {complaint}".strip(), retry_after=after, throttled=status == 429)
    if status in (400, 403) and FILTERED.search(complaint):
        return ChatResponse(complaint, outcome="refusal", finish="content_filter")
    if request.native_schema and status in (400, 404, 415, 422) and ABOUT_SCHEMA.search(complaint):
        raise SchemaRefusedError(f"{request.endpoint} takes no JSON schema for {request.model} ({status} {complaint})")
    mend = "check model, endpoint and settings of its seats in config/models.yaml"
    if status in (401, 403):
        mend = f"check {key_env}" if key_env else "say api_key_env: NAME in its seats in config/models.yaml"
    elif status == 402:
        mend = "add credit there"
    raise LLMError(f"was refused ({status} {complaint})", where=f"{request.endpoint}, {request.model}", mend=mend)


def _complaint(content: bytes) -> str:
    """The error object of a body that is JSON, else the beginning of its text."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:LONGEST_COMPLAINT]
    return _shorten(body.get("error", body) if isinstance(body, dict) else body)


def _shorten(error: Any) -> str:
    if isinstance(error, Mapping):
        parts = [str(error[name]) for name in ("message", "code", "type") if error.get(name)]
        error = ", ".join(dict.fromkeys(parts)) or json.dumps(error)
    return " ".join(str(error).split())[:LONGEST_COMPLAINT]
