"""Pages of `sim web` over a store of months: seconds of the processor that each takes, with one test and with ten.

    python benchmarks/web_months.py [--events 200000] [--turns 7]

A council that waits for a person is rehearsed for a week, and its events are put down again and again, moved by as many
sessions: real ones in kind and size. Between two looks at a page an event is added, as a loop at work does. The pages
answer in this process, without a network.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from simulator.cli import main as sim
from simulator.forward.switches import Heartbeat, beat
from simulator.market.calendar import sessions
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.web.app import make_app
from simulator.web.guard import addresses
from simulator.web.sessions import Sessions
from simulator.web.tokens import Token
from simulator.workspace import Workspace, make_workspace

FIRST = date(2024, 6, 3)
WEEK = ("rehearse", "--from", str(FIRST), "--sessions", "5", "--strategy", "macro_council", "--symbols", "SPY,QQQ",
        "--models", "offline", "--set", "schedule.cadence=daily")  # fmt: skip
ANSWERS = "* SPY modify scale=0.5\n* QQQ reject not today\n* * approve\n"
PAGES = ("/", "/approvals", "/audit", "/forward/{run}", "/healthz", "/metrics")


def rehearse(place: Path) -> list[Stored]:
    """Return the events of a rehearsed week."""
    make_workspace(place, git=False)
    (place / "answers.txt").write_text(ANSWERS)
    with suppress(SystemExit):
        sim(["--workspace", str(place), *WEEK, "--approvals", str(place / "answers.txt")])
    with Store(store_place(place / "sim.db")) as store:
        return store.of_forward(None)


def moved(week: list[Stored], n: int, days: list[str]) -> list[Event]:
    """Return the events of a week in the `n`th week of `days`, under ids of their own."""
    those = [str(day) for day in sessions(FIRST, FIRST + timedelta(days=10)).dates[:6]]
    later = dict(zip(those, days[5 * n : 5 * n + 6], strict=True))

    def move(text: str) -> str:
        text = re.sub("|".join(later), lambda found: later[found[0]], text)
        # Ids of orders, fills and trades count up from one week to the next.
        return re.sub(r'"([0-9a-f]{12}|[0-9a-f]{40}|[0-9a-f-]{36})"', lambda found: f'"{found[1][:-4]}{n:04x}"', text)

    return [
        Event(it.kind, it.at and move(it.at), it.account, json.loads(move(json.dumps(it.payload))))
        for it in (one.event for one in week)
        if not n or it.kind not in ("forward.registered", "forward.started")
    ]


def fill(store: Store, week: list[Stored], runs: list[str], count: int) -> None:
    """Write `count` events of `runs`, a week of each after the other."""
    days = [str(day) for day in sessions(date(2005, 1, 3), FIRST).dates]
    written, n = 0, 0
    while written < count:
        for run in runs:
            new = moved(week, n, days)
            store.append(run, new)
            acts = [Event("web.acted", None, None, {"by": "ann", "from": "here", "action": "logged in"})] * 2
            store.append("web", acts)
            written += len(new) + 2
        n += 1


class Client:
    """Asks the application in this process."""

    def __init__(self, workspace: Workspace, store: Store) -> None:
        import anyio

        known, self.sessions = addresses("127.0.0.1", 80), Sessions(workspace)
        (workspace.out / "web.tokens").write_text(json.dumps([vars(Token("ann", "approve", "0" * 64, "2024-06-03"))]))
        self.cookie = self.sessions.begin(Token("ann", "approve", "0" * 64, "2024-06-03"))
        self.app, self.run = make_app(workspace, store, known, self.sessions), anyio.run

    def ask(self, path: str) -> tuple[int, int]:
        """Return status and bytes of a page."""
        sent: list[Any] = []
        headers = [(b"host", b"127.0.0.1:80"), (b"cookie", f"sim_session={self.cookie}".encode())]
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
                 "http_version": "1.1", "root_path": ""}  # fmt: skip

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self.run(self.app, scope, receive, send)
        return sent[0]["status"], sum(len(one.get("body", b"")) for one in sent[1:])


def measure(workspace: Workspace, store: Store, runs: list[str], turns: int) -> Iterator[tuple[str, float, float]]:
    """Yield of each page the seconds of this process for the first look, and the median for those after: a machine
    that does other work tells no others."""
    from simulator.web import metrics

    metrics.KEPT_S = 0.0  # else most looks read nothing
    client = Client(workspace, store)
    for page in PAGES:
        taken = []
        for _ in range(turns):
            store.append(runs[0], [Event("forward.alert", None, None, {"kind": "load", "text": "as it goes on"})])
            before = time.process_time()
            status, size = client.ask(page.format(run=runs[0]))
            taken.append(time.process_time() - before)
            assert (status, size > 0) in ((200, True), (503, True)), (page, status)
        yield page, taken[0], median(taken[1:])


def main() -> None:
    """Print a table."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--events", type=int, default=200_000)
    given.add_argument("--turns", type=int, default=7)
    given.add_argument("--keep", type=Path, help="Folder in which the stores are kept for the next time.")
    options = given.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        week = None if (folder / "week").exists() else rehearse(folder / "week")
        if week is None:
            with Store(store_place(folder / "week" / "sim.db")) as store:
                week = store.of_forward(None)
        own = week[0].run_id
        for count in (1, 10):
            place = folder / f"runs-{count}"
            runs = [own, *(f"{own[:8]}{n:02x}" for n in range(count - 1))]
            workspace = Workspace(folder / "week", place)
            with Store(store_place(place / "sim.db")) as store:
                if store.newest_event() is None:
                    place.mkdir(exist_ok=True)
                    fill(store, week, runs, options.events)
                for run in runs:
                    accounts = {one.event.account: "PA1" for one in week if one.event.account}
                    now = datetime.now(UTC).isoformat()
                    heart = Heartbeat(run, "macro_council", accounts, "paper", "running", now, now, None, 1e6)
                    beat(workspace, heart)
                print(f"\n{count} runs, {store.newest_event().position:,} events")  # type: ignore[union-attr]
                for page, first, later in measure(workspace, store, runs, options.turns):
                    print(f"{page:16} first {first:8.3f} s   p50 {later * 1000:9.1f} ms", flush=True)


if __name__ == "__main__":
    main()
