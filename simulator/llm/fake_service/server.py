"""HTTP side of the fake service: a few hundred connections, one answer per question, latency and faults on the way.

POST /v1/chat/completions    the protocol; any path that ends so
/v1/files, /v1/batches       batches, see `batches`
GET  /v1/models              one model
GET  /stats                  requests, answers, dollars
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import responses
from typing import Any

from simulator.errors import SimError
from simulator.llm.fake_service.batches import BatchBehaviour, Batches, digest_of
from simulator.llm.fake_service.faults import FAULTS, Faults, Reply, error_body
from simulator.llm.fake_service.prefix_cache import PrefixCache, is_claude
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import Provider
from simulator.llm.providers.openai_compatible import PLAIN, text_of

SCHEMA_FOLLOWS = PLAIN.partition("{schema}")[0]
MOST_HEADER = 64 * 1024


@dataclass(frozen=True)
class Behaviour:
    """Behaviour of the service.

    Attributes
    ----------
    latency_s : seconds before an answer; a 429 comes at once
    retry_after_s : seconds that ``429-retry-after`` asks for
    usd_per_million : dollars per million prompt and completion tokens, sent as ``usage.cost``; None sends no cost
    native_schema : False refuses ``response_format``, as many small servers do
    cached_usd_per_million : dollars per million prompt tokens read from its prefix cache; None keeps no cache
    batch : of the batch side
    """

    latency_s: float = 0.2
    faults: Faults = field(default_factory=Faults)
    retry_after_s: float = 1.0
    usd_per_million: tuple[float, float] | None = None
    native_schema: bool = True
    cached_usd_per_million: float | None = None
    batch: BatchBehaviour = field(default_factory=BatchBehaviour)


@dataclass
class Counts:
    """Counts so far. `paid` maps digests of request bodies to how often their answer was delivered."""

    requests: int = 0
    paid: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0
    usd: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0


class FakeService:
    """The service. `answers` gives its answers, `behaviour` its latency and faults."""

    def __init__(self, answers: Provider, behaviour: Behaviour | None = None) -> None:
        self.answers, self.behaviour, self.counts = answers, behaviour or Behaviour(), Counts()
        self.batches = Batches(self.behaviour.batch, self._reply_in_batch, self._count_paid)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._prefixes = PrefixCache()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns the base URL. Port 0 takes any that is free."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=512, limit=MOST_HEADER)
        return f"http://{host}:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Close everything, answers on their way included."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stats(self) -> dict[str, Any]:
        """JSON-able: `answered` counts answers delivered, `questions` distinct ones among them, `twice` the rest."""
        counts = self.counts
        answered = counts.paid.total()
        tokens = {"prompt_tokens": counts.prompt_tokens, "cached_tokens": counts.cached_tokens}
        return {
            "requests": counts.requests,
            "answered": answered,
            "questions": len(counts.paid),
            "twice": answered - len(counts.paid),
            "usd": round(counts.usd, 9),
            **({} if self.behaviour.cached_usd_per_million is None else tokens),
            "most_at_once": counts.most_at_once,
            "faults": dict(sorted(counts.faults.items())),
            **self.batches.stats(),
        }

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection: each request is answered before the next is read."""
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]
        self._tasks.add(task)
        connection = _Connection(reader, writer)
        try:
            while (request := await connection.read()) is not None:
                await self._respond(connection, *request)
        except (IncompleteReadError, LimitOverrunError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _respond(
        self, connection: _Connection, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> None:
        path, _, query = target.partition("?")
        if method == "GET" and path.endswith("/stats"):
            connection.send(200, self.stats())
        elif method == "GET" and path.endswith("/models"):
            connection.send(200, {"object": "list", "data": [{"id": "rehearsal", "object": "model"}]})
        elif method == "POST" and path.endswith("/chat/completions"):
            counts = self.counts
            counts.requests += 1
            counts.at_once += 1
            counts.most_at_once = max(counts.most_at_once, counts.at_once)
            try:
                await self._answer(connection, body, headers.get("authorization", "").removeprefix("Bearer "))
            finally:
                counts.at_once -= 1
        elif (reply := await self.batches.respond(method, path, query, headers, body)) is not None:
            await self._deliver(connection, "", reply)
        else:
            connection.send(
                404,
                error_body(
                    "no such path; there are /v1/chat/completions, /v1/batches, /v1/files, /v1/models and /stats"
                ),
            )

    async def _answer(self, connection: _Connection, body: bytes, key: str) -> None:
        try:
            content = json.loads(body)
            request = request_of(content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            connection.send(400, error_body(f"not a chat completion request ({error!r})"))
            return
        if "response_format" in content and not self.behaviour.native_schema:
            connection.send(400, error_body("response_format json_schema is not supported"))
            return
        question = hashlib.sha256(body).hexdigest()
        reply = await self._reply(content, request, question, key)
        if reply.status != 429:
            await asyncio.sleep(self.behaviour.latency_s)
        if reply.status == 200 and self.behaviour.cached_usd_per_million is not None:
            self._prefixes.keep(content)
        await self._deliver(connection, question, reply)

    async def _reply(self, content: Mapping[str, Any], request: ChatRequest, question: str, key: str) -> Reply:
        name = self.behaviour.faults.draw(question, self.counts.attempts[question])
        self.counts.attempts[question] += 1
        try:
            reply = whole = Reply(self._completion(content, request, await self.answers.ask(request)))
        except SimError as error:
            reply = whole = Reply(error_body(str(error)), 400)
        if name is not None and whole.status == 200:
            whole = replace(whole, asked=content, retry_after_s=self.behaviour.retry_after_s, key=key)
            reply = FAULTS[name].spoil(whole)
            # A field that is refused and was not sent is no fault.
            self.counts.faults[name] += reply is not whole
        return reply

    async def _reply_in_batch(self, content: dict[str, Any], key: str) -> Reply:
        try:
            request = request_of(content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Reply(error_body(f"not a chat completion request ({error!r})"), 400)
        if "response_format" in content and not self.behaviour.native_schema:
            return Reply(error_body("response_format json_schema is not supported"), 400)
        return await self._reply(content, request, digest_of(content), key)

    def _count_paid(self, question: str, reply: Reply) -> None:
        if reply.status == 200 and isinstance(reply.body, dict) and "usage" in reply.body:
            cost = (reply.body["usage"] or {}).get("cost") or 0.0
            self.counts.paid[question] += 1
            self.counts.usd += cost if math.isfinite(cost) else 0.0

    async def _deliver(self, connection: _Connection, question: str, reply: Reply) -> None:
        data = _response(reply.status, reply.body, reply.headers or {})
        if reply.ending == "hang":
            await connection.reader.read()
        elif reply.ending == "cut":
            connection.abort()
        elif reply.ending == "cut-body":
            connection.write(data[: data.index(b"\r\n\r\n") - len(data) // 2])
            connection.writer.close()
        elif connection.write(data):
            self._count_paid(question, reply)

    def _completion(self, content: Mapping[str, Any], request: ChatRequest, response: ChatResponse) -> dict[str, Any]:
        refused = response.outcome == "refusal"
        message: dict[str, Any] = {"role": "assistant", "content": None if refused else response.text}
        if refused:
            message["refusal"] = response.text
        elif content.get("tools") and (call := _native_call(response.text)):
            message |= {"content": None, "tool_calls": [call]}
        prompt = sum(len(message.content.encode()) for message in request.messages) // 4 + 1
        completion = len(response.text.encode()) // 4 + 1
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
        cached, cached_usd = 0, self.behaviour.cached_usd_per_million
        if cached_usd is not None:
            prompt, cached, written = self._prefixes.read(content)
            usage["prompt_tokens"] = prompt
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
            if is_claude(content):
                usage["cache_creation_input_tokens"] = written
            self.counts.prompt_tokens += prompt
            self.counts.cached_tokens += cached
        if self.behaviour.usd_per_million is not None:
            prompt_usd, completion_usd = self.behaviour.usd_per_million
            fresh_usd = (prompt - cached) * prompt_usd + cached * (cached_usd or 0.0)
            usage["cost"] = (fresh_usd + completion * completion_usd) / 1e6
        return {
            "id": "rehearsal",
            "object": "chat.completion",
            "created": 0,
            "model": response.model or request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": response.finish or "stop"}],
            "usage": {**usage, "total_tokens": prompt + completion},
        }


@dataclass(frozen=True, eq=False)
class _Connection:
    reader: StreamReader
    writer: StreamWriter

    async def read(self) -> tuple[str, str, bytes, Mapping[str, str]] | None:
        """(method, path with query, body, headers) of the next request; None where what came is none."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        words, length = lines[0].split(" "), headers.get("content-length", "0")
        if len(words) != 3 or not length.isdigit():
            self.send(400, error_body("not a request"))
            return None
        body = await self.reader.readexactly(int(length))
        return words[0], words[1], body, headers

    def send(self, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bool:
        """Write a response. Returns False where nobody is left to read it."""
        return self.write(_response(status, content, headers or {}))

    def write(self, data: bytes) -> bool:
        # A client that gave up has closed its side: at the end of its stream there is nobody to deliver to.
        if self.writer.is_closing() or self.reader.at_eof():
            return False
        self.writer.write(data)
        return True

    def abort(self) -> None:
        self.writer.transport.abort()


def request_of(body: Mapping[str, Any]) -> ChatRequest:
    """Parse a request body. Its schema stands in ``response_format`` or at the end of the prompt."""
    messages = tuple(Message(message["role"], text_of(message["content"])) for message in body["messages"])
    described = body.get("response_format") or {}
    schema = (described.get("json_schema") or {}).get("schema")
    if schema is None and SCHEMA_FOLLOWS in messages[-1].content:
        schema = json.loads(messages[-1].content.rpartition(SCHEMA_FOLLOWS)[2])
    return ChatRequest("rehearsal", str(body["model"]), messages, schema=schema)


def _native_call(text: str) -> dict[str, Any] | None:
    """The call of a tool that `text` is in our protocol, as services write it; None for any other answer."""
    try:
        said = json.loads(text)
        function = {"name": said["tool"], "arguments": json.dumps(said["arguments"])}
    except (ValueError, KeyError, TypeError):
        return None
    return {"id": "call_1", "type": "function", "function": function}


def _response(status: int, content: Any, headers: Mapping[str, str]) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Other')}", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
