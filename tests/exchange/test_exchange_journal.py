"""File in which a rehearsal exchange notes what changed it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from starlette.requests import Request

from simulator.exchange.journal import Journal


@pytest.mark.parametrize("older", [False, True])
def test_a_journal_is_its_owners_alone_and_holds_no_secret(tmp_path: Path, older: bool) -> None:
    path = tmp_path / "exchange.jsonl"
    umask = os.umask(0o022)
    try:
        if older:
            path.write_bytes(b"")
        journal = Journal(path, "an exchange")
        asyncio.run(journal.replay(lambda *_: None, lambda *_: None))  # type: ignore[arg-type]
    finally:
        os.umask(umask)
    headers = [(b"apca-api-key-id", b"PKCOUNCIL"), (b"apca-api-secret-key", b"hT7qv9")]
    scope = {"type": "http", "method": "GET", "path": "/v2/account", "query_string": b"", "headers": headers}
    asyncio.run(journal.note_request(Request(scope, _nothing)))
    journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PKCOUNCIL" in path.read_text()
    assert "hT7qv9" not in path.read_text()


async def _nothing() -> dict[str, object]:
    return {"type": "http.request", "body": b"", "more_body": False}
