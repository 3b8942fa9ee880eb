"""Batch interface of OpenAI-compatible services, as OpenAI's guide has it: files in, files out, half the price.

    POST /files (purpose batch, JSONL) ─► POST /batches (24h) ─► GET /batches/ID … ─► GET /files/ID/content
    {"custom_id", "method": "POST", "url": "/v1/chat/completions", "body"} ─► {"custom_id", "response", "error"}

A batch carries the name the ledger gave it in its ``metadata``: one that was created in an attempt without an answer is
found again. Passing failures are waited for, but for the creation, which is looked for first.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from simulator.config import Seat
from simulator.errors import ConfigError, LLMError, SimError, UnansweredError
from simulator.keys import scrub
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers import TransientError
from simulator.llm.providers.complaints import parse_object, raise_or_refuse, shorten
from simulator.llm.providers.openai_compatible import OpenAICompatible, body_of
from simulator.llm.retries import Retry

T = TypeVar("T")

WINDOW = "24h"
URL = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
NAME, DIGEST = "simulator_batch", "sha256"
"""Keys of the metadata."""
FILE_SECONDS = 900.0
"""Seconds that 200 MB may take."""
PAGES = 50
WITHOUT = (404, 405, 501)
"""Statuses at /batches of services that have none."""


class NotCreatedError(LLMError):
    """The service refused a file or a batch: there is none under that name."""


@dataclass(frozen=True)
class Batch:
    """A batch as its service shows it: `errors` of its validation, `done` and `total` questions."""

    id: str
    status: str
    output: str = ""
    error: str = ""
    errors: str = ""
    done: int = 0
    total: int = 0
    name: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class BatchLine:
    """A line of an output or error file: the answer's `status` and `body`, or the code of why there is none."""

    key: str
    status: int = 0
    body: bytes = b""
    code: str = ""


@dataclass(frozen=True)
class BatchService:
    """Batches at the services of `provider`; `asked` is any question to the service that is meant."""

    provider: OpenAICompatible
    retry: Retry = field(default_factory=Retry)

    async def check(self, asked: ChatRequest | Seat) -> None:
        """Raise ConfigError where the service has no batches."""
        await self._again(asked, lambda: self._get(asked, "/batches?limit=1"))

    async def upload(self, asked: ChatRequest, name: str, content: bytes) -> str:
        """Upload the file of a batch. Returns its id."""

        async def attempt() -> dict[str, Any]:
            file, form = (f"{name}.jsonl", content), {"purpose": "batch"}
            return await self._post(asked, "/files", body=form, file=file, timeout_s=FILE_SECONDS)

        return str((await self._again(asked, attempt)).get("id") or "")

    async def create(self, asked: ChatRequest, file: str, name: str, digest: str, *, fresh: bool) -> Batch:
        """Create the batch of an uploaded file, once: where it may have been created before (not `fresh`, or an attempt
        without an answer), it is looked for first."""

        async def attempt() -> Batch:
            nonlocal fresh
            if not fresh and (found := await self._find(asked, name)) is not None:
                return found
            fresh, metadata = False, {NAME: name, DIGEST: digest}
            body = {"input_file_id": file, "endpoint": URL, "completion_window": WINDOW, "metadata": metadata}
            return _batch(await self._post(asked, "/batches", body=body))

        return await self._again(asked, attempt)

    async def look(self, asked: ChatRequest, batch: str) -> Batch:
        """Return the batch as it is now. Raises TransientError where the service does not answer."""
        return _batch(await self._get(asked, f"/batches/{quote(batch, safe='')}"))

    async def cancel(self, asked: ChatRequest, batch: str) -> None:
        """Ask the service to cancel a batch; what it has answered is still paid for. Raises LLMError where it ended."""
        path = f"/batches/{quote(batch, safe='')}/cancel"
        await self._post(asked, path, body={})

    async def lines(self, asked: ChatRequest, batch: Batch) -> dict[str, BatchLine]:
        """{custom_id: line} of both files of a batch that has ended. Of two lines of a question the first counts."""
        found: dict[str, BatchLine] = {}
        for file in filter(None, (batch.output, batch.error)):

            async def attempt(path: str = f"/files/{quote(file, safe='')}/content") -> bytes:
                status, headers, content = await self.provider.send(asked, "GET", path, timeout_s=FILE_SECONDS)
                if status >= 300:
                    raise_or_refuse(asked, status, headers, content)
                return content

            for line in _lines(await self._again(asked, attempt)):
                found.setdefault(line.key, line)
        return found

    def read(self, request: ChatRequest, line: BatchLine) -> ChatResponse:
        """The answer to `request` in its line. Raises as a provider; TransientError where it was not executed."""
        if line.code:
            raise TransientError(f"was not answered in its batch ({line.code})")
        return self.provider.read(request, line.status, {"content-type": "application/json"}, line.body)

    async def _find(self, asked: ChatRequest, name: str) -> Batch | None:
        after = ""
        for _ in range(PAGES):
            page = await self._get(asked, f"/batches?limit=100{after}")
            listed = [_batch(one) for one in page.get("data") or () if isinstance(one, Mapping)]
            if (found := next((one for one in listed if one.name == name), None)) is not None:
                return found
            if not listed or not page.get("has_more"):
                return None
            after = f"&after={quote(listed[-1].id, safe='')}"
        return None

    async def _get(self, asked: ChatRequest | Seat, path: str) -> dict[str, Any]:
        return self._parse(asked, *await self.provider.send(asked, "GET", path))

    async def _post(self, asked: ChatRequest, path: str, **sent: Any) -> dict[str, Any]:
        reply = await self.provider.send(asked, "POST", path, **sent)
        try:
            return self._parse(asked, *reply)
        except TransientError:
            raise
        except SimError as error:
            raise NotCreatedError(error.found, where=error.where, mend=error.mend) from None

    def _parse(
        self, asked: ChatRequest | Seat, status: int, headers: Mapping[str, str], content: bytes
    ) -> dict[str, Any]:
        if status in WITHOUT:
            where, mend = asked.endpoint, "leave --batch out to ask one by one"
            raise ConfigError(f"has no such batch or no batches at all ({status})", where=where, mend=mend)
        if status >= 300:
            request = asked if isinstance(asked, ChatRequest) else ChatRequest("", asked.model, (), asked.endpoint)
            refused = raise_or_refuse(request, status, headers, content)
            raise LLMError(f"was refused ({status} {refused.text})", where=asked.endpoint)
        return parse_object(content, headers)

    async def _again(self, asked: ChatRequest | Seat, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until it is no passing failure any more. Raises UnansweredError where the waits are over."""
        number = 1
        while True:
            try:
                return await attempt()
            except TransientError as failure:
                wait = self.retry.wait_after(number, failure)
                if wait is None:
                    found = f"batches could not be reached in {number} attempts ({failure.found})"
                    raise UnansweredError(found, where=asked.endpoint, mend="repeat the command later") from None
                await self.retry.sleep(wait)
                number += 1


def file_of(requests: Iterable[ChatRequest]) -> list[bytes]:
    """Lines of the file of a batch, each with its line end. Fields of a schema keep their order, as asked singly."""
    lines = (
        {"custom_id": one.key, "method": "POST", "url": URL, "body": body_of(one, marked=False)} for one in requests
    )
    return [json.dumps(line).encode() + b"\n" for line in lines]


def _batch(shown: Mapping[str, Any]) -> Batch:
    counts, metadata, errors = (
        one if isinstance(one := shown.get(name), Mapping) else {} for name in ("request_counts", "metadata", "errors")
    )
    told = [one for one in errors.get("data") or () if isinstance(one, Mapping)]
    first = next((f"line {one['line']}: " if one.get("line") else "" for one in told), "")
    text = first + shorten(told[0]) if told else ""
    return Batch(
        id=scrub(str(shown.get("id") or "")),
        status=str(shown.get("status")),
        output=str(shown.get("output_file_id") or ""),
        error=str(shown.get("error_file_id") or ""),
        errors=f"{text} and {len(told) - 1} more" if len(told) > 1 else text,
        done=_count(counts.get("completed")) + _count(counts.get("failed")),
        total=_count(counts.get("total")),
        name=str(metadata.get(NAME, "")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _lines(content: bytes) -> Iterable[BatchLine]:
    """Lines that say something of a question; one that was cut says nothing."""
    for text in content.splitlines():
        try:
            line = json.loads(text)
            key, response, error = str(line["custom_id"]), line.get("response"), line.get("error")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(response, Mapping) and isinstance(response.get("status_code"), int):
            body = response.get("body")
            raw = body.encode("utf-8", "replace") if isinstance(body, str) else json.dumps(body).encode()
            yield BatchLine(key, response["status_code"], raw)
        elif isinstance(error, Mapping):
            yield BatchLine(key, code=shorten(error.get("code") or error))
