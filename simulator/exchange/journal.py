"""Journal of a rehearsal: all that changed the exchange, so that one that was killed comes back as it was.

    request that changes something ─► line ─► effect ─► answer        at the start: every line again, in order
    instant the clock went on to ───► line

A line stands before its effect: a client whose answer was lost looks the order up, and finds it either way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.types import ASGIApp

from simulator.errors import DataError
from simulator.exchange.accounts import digest_secret
from simulator.files import keep_private

KEYS = ("apca-api-key-id", "apca-api-secret-key")


@dataclass(eq=False)
class Journal:
    """Journal in the file `path` of an exchange that `about` describes. Raises DataError for that of another one."""

    path: Path
    about: str
    known: set[str] = field(default_factory=set)
    _file: BinaryIO | None = None

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.read_bytes() if self.path.exists() else b""
        self._lines = whole.split(b"\n")[:-1]  # what is after the last line end was cut off by a kill
        if self._lines and json.loads(self._lines[0]) != {"exchange": self.about}:
            mend = "remove it, or rehearse with the settings, bars and program it was written with"
            raise DataError("the journal is of another exchange", where=str(self.path), mend=mend)

    async def replay(self, app: ASGIApp, advance: Callable[[int, bool], None]) -> None:
        """Do again what stands in the file, then write into it."""
        for line in map(json.loads, self._lines[1:]):
            if "to" in line:
                advance(line["to"], line.get("before_open", False))
            else:
                self.known.add(line["headers"][0])
                await _ask(app, line)
        keep_private(self.path)
        self._file = self.path.open("ab")
        self._file.truncate(sum(len(line) + 1 for line in self._lines))
        if not self._lines:
            self._write({"exchange": self.about})
        self._lines = []

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def note_time(self, to: int, before_open: bool) -> None:
        """Note that the clock goes on to `to`, nanoseconds since the epoch, or to before what opens then."""
        self._write({"to": to, "before_open": True} if before_open else {"to": to})

    async def note_request(self, request: Request) -> None:
        """Note a request that may change something: any but a reading, and the first with a key, which opens an
        account. Of a secret, its digest."""
        key, secret = (request.headers.get(name, "") for name in KEYS)
        headers = [key, digest_secret(secret)]
        if request.method == "GET" and headers[0] in self.known:
            return
        self.known.add(headers[0])
        body = (await request.body()).decode(errors="surrogateescape")
        where = {"method": request.method, "path": request.url.path, "query": request.url.query}
        self._write({**where, "headers": headers, "body": body})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:  # else it is being read
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()


async def _ask(app: ASGIApp, line: dict[str, Any]) -> None:
    """Put a request of the journal again; its answer goes nowhere, and who waits for the client finds him gone."""
    told = iter([{"type": "http.request", "body": line["body"].encode(errors="surrogateescape"), "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(told, {"type": "http.disconnect"})

    async def send(_: Any) -> None:
        pass

    headers = [(name.encode(), value.encode("latin-1")) for name, value in zip(KEYS, line["headers"], strict=True)]
    await app(
        {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "server": None,
            "client": None, "root_path": "", "method": line["method"], "path": line["path"],
            "raw_path": line["path"].encode(), "query_string": line["query"].encode(), "headers": headers, "state": {},
        },
        receive, send,
    )  # fmt: skip
