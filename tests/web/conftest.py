"""The pages at work, in a process of their own thread, over a store with trades that wait."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from simulator.forward.approvals import Approval, Staged, write_asked
from simulator.forward.exposure import Room
from simulator.forward.switches import Heartbeat, beat
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.trading.risk import Limits
from simulator.web.app import make_app
from simulator.web.guard import addresses
from simulator.web.sessions import Sessions
from simulator.web.tokens import Role, add_token
from simulator.workspace import Workspace
from tests.report.conftest import browser

__all__ = ["browser"]

HOSTILE = "<script>document.title = 'stolen'</script>\x1b[31mred"
ASKED = Approval(
    "a" * 12, "run", "SPY", "2024-06-04T08:45:00-04:00", "meeting", "2024-06-04T09:27:00-04:00", 1, "waiting",
    {"COUNCIL": Staged(10.0, limit=99.0, stop=90.0, exits="oto", equity=1e5, most=2e4)}, 100.0,
    thesis=(HOSTILE,), reviews=({"seat": "b", "score": 7},), kill_shots=("a recession",), dissent="one would wait",
)  # fmt: skip


@dataclass
class Site:
    """Pages at work: their address, workspace and store; `cut` ends them, `mend` starts them anew on the same port."""

    workspace: Workspace
    store: Store
    port: int = 0
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None
    sessions: Sessions | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def mend(self, sessions: Sessions | None = None) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self.sessions = sessions or Sessions(self.workspace)
        app = make_app(self.workspace, self.store, addresses("127.0.0.1", self.port), self.sessions)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def cut(self) -> None:
        assert self.server is not None
        assert self.thread is not None
        self.server.should_exit = True
        self.thread.join(20)

    def ask(
        self,
        *symbols: str,
        version: int = 1,
        without_limit: bool = False,
        room: bool = False,
        accounts: Sequence[str] = ("COUNCIL",),
    ) -> None:
        """Let trades wait for approval, in `accounts` that hold GLD where they have `room` beside it."""

        def staged(symbol: str, one: Staged) -> Staged:
            beside = Room.of(symbol, {"GLD": 3e4}, Limits(0.2, 0.3, 0.5, {}), (1.0, 0.5)) if room else None
            return replace(one, limit=None if without_limit else one.limit, room=beside)

        sizes = {one: {name: staged(one, ASKED.sizes["COUNCIL"]) for name in accounts} for one in symbols}
        given = replace(ASKED, version=version)
        asked = [replace(given, id=one.lower().rjust(12, "a"), symbol=one, sizes=sizes[one]) for one in symbols]
        self.store.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(one)) for one in asked])

    def beat(self, price: float | None, age_s: float = 1.0) -> None:
        """Let the loop be at work, with a price of SPY."""
        now = datetime.now(UTC)
        quote = {"at": (now - timedelta(seconds=age_s)).isoformat(), "bid": price, "ask": price}
        prices: Any = {} if price is None else {"SPY": quote}
        heart = Heartbeat("run", "s", {"COUNCIL": "P1"}, "paper", "running", "", now.isoformat(), None, 15.0)
        assert beat(self.workspace, replace(heart, prices=prices))

    def token(self, name: str, role: Role) -> str:
        return add_token(self.workspace, name, role)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    workspace = Workspace(tmp_path, tmp_path)
    with Store(workspace.registry) as store:
        store.append("run", [Event("forward.started", None, None, {"rehearsed": True})])
        found = Site(workspace, store)
        found.mend()
        yield found
        found.cut()
