"""Any service that speaks OpenAI's chat-completions protocol: Requesty, OpenAI, OpenRouter, vLLM, Ollama, llama.cpp.

    ChatRequest ─► request body ─► openai SDK, one attempt ─► status, body ─► ChatResponse
                                                                  └── anything else: see `complaints`

Retries, limits and money are the gateway's. Keys come from the environment and go into the request's header only.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from simulator.config import Seat
from simulator.errors import ConfigError, LLMError
from simulator.keys import read_key, scrub, scrub_bytes
from simulator.llm.answers import CUT
from simulator.llm.messages import ChatRequest, ChatResponse, FrozenSchema, Outcome, Usage, canonical_json
from simulator.llm.providers import Price, TransientError, free, is_local, stamp
from simulator.llm.providers.complaints import (
    is_passing,
    parse_object,
    raise_or_refuse,
    read_error,
    says_throttled,
    shorten,
)
from simulator.llm.registry import OPENAI_COMPATIBLE
from simulator.llm.spending.usage import counts_tokens, read_usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_NAMES = {
    "router.requesty.ai": "REQUESTY_API_KEY",
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
}
BROKEN_OFF = {"error", "abort", "aborted", "cancelled", "canceled", "timeout", "network_error",
              "insufficient_system_resource"}  # fmt: skip
WITHHELD = {"content_filter", "sensitive", "safety", "recitation", "prohibited_content"}
"""Ends of a text, as services name them: it broke off, it was withheld."""
INSTALL = "`pip install openai` installs it"
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
CONNECT_SECONDS = 15.0
MARKED = re.compile("claude|anthropic", re.IGNORECASE)
"""Models whose service keeps the beginning of a prompt only where it is told to."""
MOST_MARKS = 4
LONGEST_NAME = 200
"""Characters of the name of the model that served."""
PER_CLIENT = 16
"""Questions in flight per client, which searches all its connections for each: a few small clients are faster."""


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
    """A provider over HTTP. The SDK is imported by the first question and not before.

    Parameters
    ----------
    endpoints : base URL → how it is reached; URLs not named are reached with what is known of their host
    price : dollars to book for an answer, by its tokens and the ``usage.cost`` that the service tells
    """

    name = OPENAI_COMPATIBLE

    def __init__(self, endpoints: Mapping[str, Endpoint] | None = None, price: Price = free) -> None:
        self._endpoints, self._price = dict(endpoints or {}), price
        self._refusing_marks: set[str] = set()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, list[Client]]] = WeakKeyDictionary()

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """One attempt. Raises TransientError, RefusedFieldError, LLMError; ConfigError without key, URL or SDK."""
        endpoint = self._endpoint(request)
        client = self._client(request.endpoint, endpoint)
        return await stamp(self._ask(request, client, endpoint))

    async def _ask(self, request: ChatRequest, client: Client, endpoint: Endpoint) -> ChatResponse:
        client.busy += 1
        try:
            body = body_of(request, marked=request.endpoint not in self._refusing_marks)
            # Not chat.completions.create, which spends a millisecond on types and lacks fields of some services.
            post = partial(client.sdk.post, "/chat/completions")
            status, headers, content = await _send(partial(post, body=body), endpoint.timeout_s)
            if status in (400, 422) and b"cache_control" in content and "cache_control" in str(body):
                # A mark changes no answer and is in no key: where it is refused it is left out, once and for all.
                self._refusing_marks.add(request.endpoint)
                body = body_of(request, marked=False)
                status, headers, content = await _send(partial(post, body=body), endpoint.timeout_s)
        finally:
            client.busy -= 1
        return self.read(request, status, headers, content)

    async def send(
        self, asked: ChatRequest | Seat, method: str, path: str, *, body: Mapping[str, Any] | None = None,
        file: tuple[str, bytes] | None = None, timeout_s: float = 0.0,
    ) -> tuple[int, Mapping[str, str], bytes]:  # fmt: skip
        """(status, headers, body) of another request to the service of `asked`; a `file` goes as a form with `body`.

        Raises TransientError where no answer came within `timeout_s` or, where that is longer, the seat's own time.
        """
        endpoint = self._endpoint(asked)
        sdk, patience = self._client(asked.endpoint, endpoint).sdk, max(timeout_s, endpoint.timeout_s)
        options: dict[str, Any] = {"timeout": patience}
        if method == "GET":
            return await _send(partial(sdk.get, path, options=options), patience)
        if file is None:
            return await _send(partial(sdk.post, path, body=body, options=options), patience)
        options["headers"] = {"Content-Type": "multipart/form-data"}
        form = [("file", (*file, "application/jsonl"))]
        return await _send(partial(sdk.post, path, body=body, files=form, options=options), patience)

    def read(self, request: ChatRequest, status: int, headers: Mapping[str, str], content: bytes) -> ChatResponse:
        """The answer in a response of the service, with its price. Raises as `ask`."""
        try:
            response = self._read(request, status, headers, content, self._endpoint(request).key_env)
        except LLMError as error:
            # Services charge for some answers that are of no use, and say so beside the error.
            if usage := _usage_in(content):
                error.paid_usd = read_usage(request, "", usage, self._price).cost_usd
            raise
        if response.usage == Usage() and (usage := _usage_in(content)):
            # A refusal that stands in an error.
            return replace(response, usage=read_usage(request, "", usage, self._price))
        return response

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

    def _read(
        self, request: ChatRequest, status: int, headers: Mapping[str, str], content: bytes, key_env: str
    ) -> ChatResponse:
        if status >= 300:
            return raise_or_refuse(request, status, headers, content, key_env)
        if status == 206:
            raise TransientError("206: answered with a part of the answer", perhaps_paid=True)
        body = parse_object(content, headers)
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
        error = body.get("error") or (choice or {}).get("error")
        if error or choice is None:
            # Routers answer 200 with an error inside, some beside half an answer, when the service behind failed.
            return read_error(request, error or body, headers, key_env, amid_answer=choice is not None)
        return self._answer(request, body, choice)

    def _answer(self, request: ChatRequest, body: Mapping[str, Any], choice: Mapping[str, Any]) -> ChatResponse:
        given = choice.get("message")
        message: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        finish = str(choice.get("finish_reason", "") or "")
        if finish.lower() in BROKEN_OFF or ("finish_reason" in choice and choice["finish_reason"] is None):
            raise TransientError(f"the model broke off (finish {finish or 'null'})", perhaps_paid=True)
        finish = "length" if finish.lower() in CUT else finish
        text, refusal = text_of(message.get("content")), text_of(message.get("refusal"))
        text = call_of(message.get("tool_calls")) or text if request.tools else text
        outcome: Outcome = "refusal" if refusal or finish.lower() in WITHHELD else "answer"
        if not text.strip() and outcome == "answer" and finish != "length":
            thought = text_of(message.get("reasoning_content") or message.get("reasoning"))
            text = answer_in_thought(thought, request.schema)
        usage = read_usage(request, text, body.get("usage"), self._price)
        # Nothing to read after "length" is a thought that used up max_tokens: that lasts.
        said, judged = refusal or text, refusal or outcome == "answer"
        if judged and is_passing(said, request.schema) and not (finish == "length" and not said.strip()):
            what = f"with {shorten(said)!r} as its answer" if said.strip() else "with no text"
            raise TransientError(f"answered {what}", throttled=says_throttled(said), perhaps_paid=True)
        named = body.get("model")
        served = scrub(named.strip())[:LONGEST_NAME] if isinstance(named, str) else ""
        return ChatResponse(said, outcome, model=served, usage=usage, finish=finish)


def text_of(content: Any) -> str:
    """The text of a message, no thought; some services send it in parts, or as the object it is the JSON of."""
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and not part.get("thought")]
        return "".join(
            str(part.get("text") or "") for part in parts if part.get("type") in (None, "text", "output_text")
        )
    return content if isinstance(content, str) else ""


def call_of(calls: Any) -> str:
    """The first of a message's calls of tools in the words of our protocol; empty without one."""
    first = calls[0] if isinstance(calls, list) and calls else None
    named = first.get("function") if isinstance(first, dict) else None
    if not isinstance(named, dict):
        return ""
    arguments = named.get("arguments") or {}
    if isinstance(arguments, str):
        with suppress(ValueError):  # what is no JSON stays as it is, and the model is told so
            arguments = json.loads(arguments)
    return json.dumps({"tool": named.get("name"), "arguments": arguments}, ensure_ascii=False)


def answer_in_thought(thought: str, schema: Mapping[str, Any] | None) -> str:
    """The JSON object that a thought ends with, where it has all fields `schema` requires; else nothing.

    Some servers sort a whole answer under the thinking. A draft with more thinking after it is none.
    """
    text = thought.rpartition("</think>")[2].strip().removesuffix("```").rstrip()
    start = text.find("{")
    while schema is not None and start >= 0:
        try:
            found, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if end == len(text) and isinstance(found, dict) and found.keys() >= set(schema.get("required") or ()):
                return text[start:]
        start = text.find("{", end)
    return ""


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


def body_of(request: ChatRequest, *, marked: bool = True) -> dict[str, Any]:
    """Make the request body. A schema stands in ``response_format`` by `native_schema`, else in the prompt.

    Beginnings shared with other questions are `marked` with ``cache_control`` for the models that want it.
    """
    # Half a surrogate pair, which models do write, is no UTF-8; a repair question shows them their answer.
    texts = ((role, text.encode("utf-8", "replace").decode()) for role, text in with_plain_schema(request))
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in texts]
    if marked and MARKED.search(request.model):
        for message, asked in zip(messages, request.messages, strict=True):
            if asked.shared:
                message["content"] = _marked_parts(message["content"], asked.shared[-MOST_MARKS:])
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if request.schema is not None and request.sends_schema:
        body["response_format"] = response_format(request.schema)
    given = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        request.limit_name: request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": [dict(tool) for tool in request.tools] or None,
        "reasoning": None if request.reasoning is None else dict(request.reasoning),
    }
    return {**body, **{name: value for name, value in given.items() if value is not None}, **(request.extra or {})}


def _marked_parts(text: str, ends: tuple[int, ...]) -> list[dict[str, Any]]:
    starts, mark = (0, *ends), {"cache_control": {"type": "ephemeral"}}
    cut = [{"type": "text", "text": text[a:b], **mark} for a, b in zip(starts, ends, strict=False)]
    return [*cut, {"type": "text", "text": text[ends[-1] :]}] if ends[-1] < len(text) else cut


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


def _connect(url: str, endpoint: Endpoint) -> AsyncOpenAI:
    try:
        from httpx2 import InvalidURL
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
    except ImportError:
        raise ConfigError("asking a model needs the openai package", mend=INSTALL) from None
    key = read_key(endpoint.key_env, url) if endpoint.key_env else "none"
    timeout = Timeout(endpoint.timeout_s, connect=min(CONNECT_SECONDS, endpoint.timeout_s))
    try:
        http = DefaultAsyncHttpxClient(
            timeout=timeout,
            trust_env=not is_local(url),
            follow_redirects=False,
            # Certificates take time to load, and plain HTTP needs none.
            verify=urlsplit(url).scheme != "http",
        )
    except (ImportError, ValueError, OSError, InvalidURL) as error:
        raise _unusable_environment(error, url) from None
    try:
        client = AsyncOpenAI(
            api_key=key,
            admin_api_key="",
            base_url=url,
            timeout=timeout,
            max_retries=0,
            http_client=http,
        )
    except InvalidURL as error:
        where, mend = "config/models.yaml", "check the endpoint of its seats"
        raise ConfigError(f'endpoint "{url.rpartition("@")[2]}" is no URL ({error})', where=where, mend=mend) from None
    # The SDK takes them from the environment, and would send them to services they do not concern.
    client.organization = client.project = None
    return client


def _unusable_environment(error: Exception, url: str) -> ConfigError:
    """The error of variables no client can be made with. Their values, which may hold a password, are not shown."""
    if isinstance(error, OSError):
        given = [name for name in CERTIFICATES if os.environ.get(name)]
        names, what = [name for name in given if not os.path.exists(os.environ[name])] or given, "no certificates there"
    else:
        names = sorted(name for name in os.environ if name.upper() in PROXIES and os.environ[name])
        missing = isinstance(error, ImportError)
        what = "a SOCKS proxy needs the socksio package" if missing else "holds what is no URL of a proxy"
    mend = f"`unset {' '.join(names)}`" if names else "look at the proxies and certificates of this system"
    if isinstance(error, ImportError):
        mend = f"`pip install socksio`, or {mend}"
    found = f"{' or '.join(names) or type(error).__name__}: {what}"
    return ConfigError(found, where=url, mend=mend)


async def _send(sent: Callable[..., Awaitable[Any]], timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
    """Return (status, headers, body) of one attempt. Raises TransientError where none came."""
    import openai
    from httpx2 import Response

    try:
        async with asyncio.timeout(timeout_s):
            raw = await sent(cast_to=Response)
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


def _usage_in(content: bytes) -> Mapping[str, Any]:
    """The usage a body reports, in itself or in its error; empty where it reports none, or nothing but zeros."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    for part in (body, body.get("error")) if isinstance(body, dict) else ():
        usage = part.get("usage") if isinstance(part, dict) else None
        if isinstance(usage, dict) and counts_tokens(usage):
            return usage
    return {}
