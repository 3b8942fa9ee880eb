"""Batch side of the fake service: files, batches and their states, with the limits and faults of real ones.

POST /v1/files             a JSONL file with purpose "batch"     GET /v1/files/ID/content    its bytes
POST /v1/batches           {"input_file_id", "endpoint", "completion_window": "24h", "metadata"}
GET  /v1/batches           the latest first, ?limit=&after=      GET /v1/batches/ID          one of them
POST /v1/batches/ID/cancel

    validating ─► in_progress ─► finalizing ─► completed
        └► failed      ├► expired                 (half of the lines answered, the rest in the error file)
                       └► cancelling ─► cancelled

What is answered in a batch costs half. States follow the clock, and are looked up when somebody asks for them.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs

from simulator.llm.fake_service.faults import Faults, Reply, error_body

ENDPOINT = "/v1/chat/completions"
HALF = 0.5
SLOW, QUEUE = 10.0, 5
PARTS = {"validating": 0.2, "in_progress": 0.9, "finalizing": 1.0}
"""Parts of a batch's time at whose end it leaves that state."""

BATCH_FAULTS: Mapping[str, str] = {
    "no-batches": "404 at /files and /batches",
    "no-batches-405": "405 at /files and /batches",
    "batch-invalid": "the batch fails validation",
    "batch-expired": "half of a batch is answered, then it expires",
    "batch-cancelled": "half of a batch is answered, then somebody cancels it",
    "batch-partial": "every second line fails with a 500, in the error file",
    "batch-refusals": "every second line is refused with a 400 for its temperature, in the error file",
    "batch-silent": "every second line is in neither file",
    "batch-shuffled": "answers in another order",
    "batch-garbled": "a line of the answers is cut short",
    "batch-slow": "a batch takes ten times as long",
    "batch-create-500": "500 to a batch that was created all the same",
    "batch-create-cut": "no answer to a batch that was created",
    "batch-poll-503": "503 to every second look at a batch",
    "batch-cut-file": "every second download of answers ends amid them",
    "batch-gone": "404 to a look at a batch that was created",
    "batch-queue-full": "more than five questions are more than the queue takes",
    "batch-echo": "the key in the error of a batch that fails validation",
}


@dataclass(frozen=True)
class BatchBehaviour:
    """Behaviour of the batch side: seconds a batch takes, its limits, `Faults` drawn for each batch by its number."""

    delay_s: float = 0.2
    most_questions: int = 50_000
    most_bytes: int = 200_000_000
    faults: Faults = field(default_factory=Faults)


@dataclass
class Batch:
    """One batch: the JSON of it that is sent, its lines, and what is answered of them so far."""

    shown: dict[str, Any]
    lines: list[dict[str, Any]]
    began: float
    takes_s: float
    fault: str | None
    key: str
    cancelled_at: float | None = None
    looks: int = 0

    @property
    def ended(self) -> bool:
        return self.shown["status"] in ("failed", "completed", "expired", "cancelled")


Complete = Callable[[dict[str, Any], str], Awaitable[Reply]]
"""Answers the body of one question, by the key it came with."""


class Batches:
    """Files and batches of a fake service; `complete` answers a line, `paid` is called with what was delivered, by
    the digest of the question."""

    def __init__(self, behaviour: BatchBehaviour, complete: Complete, paid: Callable[[str, Reply], None]) -> None:
        self.behaviour, self._complete, self._paid = behaviour, complete, paid
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self.downloads = 0

    async def respond(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | None:
        """The reply to a request under /files or /batches; None for any other path."""
        parts = path.partition("/v1/")[2].split("/")
        if parts[0] not in ("files", "batches"):
            return None
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if self._always("no-batches"):
            return Reply(error_body("Not Found"), 404)
        if self._always("no-batches-405"):
            return Reply(error_body("Method Not Allowed"), 405)
        match (method, *parts):
            case ("POST", "files"):
                return self._upload(headers, body)
            case ("GET", "files", name, "content") if name in self.files:
                self.downloads += 1
                cut = self.downloads % 2 and any(one.fault == "batch-cut-file" for one in self.batches.values())
                kind = {"Content-Type": "application/octet-stream"}
                return Reply(self.files[name], 200, kind, "cut-body" if cut else "whole")
            case ("POST", "batches"):
                return self._create(body, key)
            case ("GET", "batches"):
                return await self._list(parse_qs(query))
            case ("GET", "batches", name) if name in self.batches:
                return await self._look(name)
            case ("POST", "batches", name, "cancel") if name in self.batches:
                return await self._cancel(self.batches[name])
        return Reply(error_body("no such file or batch"), 404)

    def stats(self) -> dict[str, int]:
        return {"files": len(self.files), "batches": len(self.batches)}

    def _always(self, kind: str) -> bool:
        return kind in self.behaviour.faults.kinds

    def _upload(self, headers: Mapping[str, str], body: bytes) -> Reply:
        head = f"Content-Type: {headers.get('content-type', '')}\r\n\r\n".encode()
        form = {
            part.get_param("name", header="content-disposition"): part
            for part in message_from_bytes(head + body).walk()
        }
        purpose, file = form.get("purpose"), form.get("file")
        if purpose is None or file is None or purpose.get_payload(decode=True) != b"batch":
            return Reply(error_body("a file and the purpose batch are needed"), 400)
        content = file.get_payload(decode=True)
        if not isinstance(content, bytes) or len(content) > self.behaviour.most_bytes:
            return Reply(error_body(f"the file is larger than {self.behaviour.most_bytes} bytes"), 413)
        if not str(file.get_filename()).endswith(".jsonl"):
            return Reply(error_body("a batch is read from a .jsonl file"), 400)
        name = self._keep(content)
        shown = {"id": name, "object": "file", "bytes": len(content), "filename": file.get_filename()}
        return Reply({**shown, "purpose": "batch", "status": "processed", "created_at": int(time.time())})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    def _create(self, body: bytes, key: str) -> Reply:
        try:
            asked = json.loads(body)
            content, metadata = self.files[asked["input_file_id"]], asked.get("metadata") or {}
            known = asked["endpoint"] == ENDPOINT and asked["completion_window"] == "24h"
            small = len(metadata) <= 16 and all(len(n) <= 64 and len(v) <= 512 for n, v in metadata.items())
        except (ValueError, KeyError, TypeError):
            return Reply(error_body("not a batch: input_file_id, endpoint and completion_window are needed"), 400)
        if not known or not small:
            return Reply(error_body(f"endpoint {ENDPOINT}, window 24h, at most 16 pairs of metadata"), 400)
        number, now = len(self.batches), int(time.time())
        fault = self.behaviour.faults.draw(str(number), number)
        lines, errors = self._validate(content)
        if fault in ("batch-invalid", "batch-echo"):
            told = f"not with {key}" if fault == "batch-echo" else "the rehearsal fails it"
            errors = [{"code": "invalid_request", "message": told, "param": None, "line": 1}]
        if fault == "batch-queue-full" and len(lines) > QUEUE:
            told = "Enqueued token limit reached for the model"
            errors = [{"code": "token_limit_exceeded", "message": told, "param": None, "line": None}]
        shown = {
            "id": f"batch_{number + 1}",
            "object": "batch",
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "input_file_id": asked["input_file_id"],
            "metadata": metadata,
            "status": "validating",
            "errors": {"object": "list", "data": errors} if errors else None,
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        takes_s = self.behaviour.delay_s * (SLOW if fault == "batch-slow" else 1.0)
        self.batches[shown["id"]] = Batch(shown, lines, time.monotonic(), takes_s, fault, key)
        if fault == "batch-create-500":
            return Reply(error_body("the model fell over"), 500)
        return Reply(dict(shown), ending="cut" if fault == "batch-create-cut" else "whole")

    def _validate(self, content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(lines, errors) of a file: JSON objects, each with a custom_id of its own, all to one model."""
        lines: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        seen: set[str] = set()
        for number, text in enumerate(content.splitlines(), 1):
            try:
                line = json.loads(text)
                name, method, url, body = (line[field] for field in ("custom_id", "method", "url", "body"))
                model = body["model"]
            except (ValueError, KeyError, TypeError):
                errors.append({"code": "invalid_json_line", "message": "no request", "param": None, "line": number})
                continue
            wrong = {
                "invalid_custom_id": not isinstance(name, str) or not 1 <= len(name) <= 64,
                "duplicate_custom_id": name in seen,
                "invalid_method": method != "POST",
                "invalid_url": url != ENDPOINT,
                "mismatched_model": bool(lines) and model != lines[0]["body"]["model"],
            }
            errors += [
                {"code": code, "message": f"line {number}: {code}", "param": None, "line": number}
                for code, bad in wrong.items()
                if bad
            ]
            seen.add(name)
            lines.append(line)
        if len(lines) > self.behaviour.most_questions:
            told = f"more than {self.behaviour.most_questions} requests"
            errors.append({"code": "too_many_requests", "message": told, "param": None, "line": None})
        if not lines and not errors:
            errors.append({"code": "empty_file", "message": "the file is empty", "param": None, "line": None})
        return lines, errors

    async def _look(self, name: str) -> Reply:
        batch = self.batches[name]
        if batch.fault == "batch-gone":
            return Reply(error_body("no such batch"), 404)
        batch.looks += 1
        if batch.fault == "batch-poll-503" and batch.looks % 2:
            return Reply(error_body("try again"), 503)
        await self._advance(batch)
        return Reply(dict(batch.shown))

    async def _list(self, query: Mapping[str, list[str]]) -> Reply:
        for batch in self.batches.values():
            await self._advance(batch)
        shown = [batch.shown for batch in reversed(self.batches.values())]
        after, limit = query.get("after", [""])[0], int(query.get("limit", ["20"])[0])
        first = next((k + 1 for k, one in enumerate(shown) if one["id"] == after), 0)
        page = shown[first : first + limit]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return Reply({"object": "list", "data": page, **ends, "has_more": first + limit < len(shown)})

    async def _cancel(self, batch: Batch) -> Reply:
        await self._advance(batch)
        if batch.ended:
            return Reply(error_body(f"cannot cancel a batch that is {batch.shown['status']}"), 409)
        batch.cancelled_at, batch.shown["status"] = time.monotonic(), "cancelling"
        return Reply(dict(batch.shown))

    async def _advance(self, batch: Batch) -> None:
        """Bring `batch` to the state it has by now."""
        if batch.ended:
            return
        now = time.monotonic()
        part = 1.0 if batch.takes_s <= 0 else (now - batch.began) / batch.takes_s
        batch.shown["request_counts"]["total"] = len(batch.lines)
        if batch.shown["errors"]:
            if part >= PARTS["validating"]:
                batch.shown["status"] = "failed"
            return
        half = (len(batch.lines) + 1) // 2
        if batch.cancelled_at is not None:
            # What was begun is still answered.
            if now - batch.cancelled_at >= 0.1 * batch.takes_s:
                done = min(1.0, max(0.0, (batch.cancelled_at - batch.began) / (batch.takes_s or 1.0)))
                await self._end(batch, "cancelled", round(done * len(batch.lines)))
        elif part >= 1.0:
            ends = {"batch-expired": ("expired", half), "batch-cancelled": ("cancelled", half)}
            await self._end(batch, *ends.get(batch.fault or "", ("completed", len(batch.lines))))
        else:
            batch.shown["status"] = next(state for state, end in PARTS.items() if part < end)

    async def _end(self, batch: Batch, status: str, answered: int) -> None:
        batch.shown["status"] = "finalizing"
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(batch.lines):
            name = {"id": f"batch_req_{number}", "custom_id": line["custom_id"]}
            if number >= answered:
                code = "batch_expired" if status == "expired" else "batch_cancelled"
                errors.append({**name, "response": None, "error": {"code": code, "message": "This was not executed."}})
            elif number % 2 and batch.fault in ODD_LINES:
                spoilt = ODD_LINES[batch.fault]
                errors += [{**name, **_response(spoilt)}] if spoilt else []
            else:
                reply = await self._complete(line["body"], batch.key)
                told = reply.body if isinstance(reply.body, dict) else None
                usage = (told or {}).get("usage")
                if told is not None and isinstance(usage, dict) and isinstance(usage.get("cost"), float):
                    reply = Reply({**told, "usage": {**usage, "cost": HALF * usage["cost"]}}, reply.status)
                self._paid(digest_of(line["body"]), reply)
                (output if reply.status == 200 else errors).append({**name, **_response(reply)})
        if batch.fault == "batch-shuffled":
            random.Random(batch.shown["id"]).shuffle(output)
        counts = {"total": len(batch.lines), "completed": len(output), "failed": len(batch.lines) - len(output)}
        files = {"output_file_id": _jsonl(output), "error_file_id": _jsonl(errors)}
        if batch.fault == "batch-garbled":
            files["output_file_id"] = files["output_file_id"][: -max(1, len(files["output_file_id"]) // 40)]
        batch.shown |= {name: self._keep(content) if content else None for name, content in files.items()}
        batch.shown |= {"status": status, "request_counts": counts, f"{status}_at": int(time.time())}


ODD_LINES: Mapping[str | None, Reply | None] = {
    "batch-partial": Reply(error_body("the model fell over"), 500),
    "batch-refusals": Reply(error_body("Unsupported value: 'temperature'", param="temperature"), 400),
    "batch-silent": None,
}


def digest_of(body: Mapping[str, Any]) -> str:
    """sha256 (hex) of the body of a question, which seeds its faults."""
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def _response(reply: Reply) -> dict[str, Any]:
    body = reply.body.decode(errors="replace") if isinstance(reply.body, bytes) else reply.body
    return {"response": {"status_code": reply.status, "request_id": "rehearsal", "body": body}, "error": None}


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
