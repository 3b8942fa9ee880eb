"""The desk killed in each of the ten states of its workflow, and what becomes of it.

    python tests/rehearsal/desk_soak.py [--rounds 3] [--seed 0]    in `make soak`; a sample in test_desk_sessions.py

`sim rehearse` holds a week of half hours with models behind a service, its exchange inside it. A loop that asks an
agent is in the state in which that agent works: there the service kills it, with `kill -9`, before it answers. In the
other states it kills itself so, some events after the decision that entered them. The same words go on each time, and
what they come to must be what a week without kills comes to: every decision, order, fill and book, and the replay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from simulator.desk.agents.analysts import RULES
from simulator.desk.agents.protocol import rounded
from simulator.desk.workflow import STATES, State
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import Offline
from simulator.market.sources import files, synthetic
from simulator.store.database import Store
from simulator.workspace import make_workspace

SYMBOLS = ("SYN-FINA-3", "SYN-HEAL-2", "SYN-INDU-2", "SYN-UTIL-1")
WORDS = (
    "--strategy",
    "momentum_desk",
    "--symbols",
    ",".join(SYMBOLS),
    "--set",
    "window=80",
    "--set",
    "exits.first=0.5",
    "--set",
    "exits.near=2",
)
FIRST = "2024-03-04"
"""Of a week in which it buys, takes half of its profit, gaps through a stop, sells the rest at a close and has a poor
performer."""
FAULTS = ("reply-lost=0.04", "request-lost=0.04", "504-after=0.03", "503=0.03", "fill-lost=0.2", "fill-twice=0.2")
SPOILT = "2024-03-07"
"""Session on which the screener's answer cannot be read: the desk is in ERROR until its next point."""
WORKS: dict[str, State] = {
    "screener": "PRE_MARKET_SCREENING",
    "analyzer": "TRADE_ANALYSIS",
    "optimizer": "POSITION_OPTIMIZATION",
    "reviewer 16:00": "END_OF_DAY_REVIEW",
    "reviewer 16:05": "WEEKLY_REVIEW",
    "backtester": "BACKTESTING",
}
"""{agent, and when it matters the time it is asked at: the state it works in}."""
DAY: tuple[State, ...] = (
    "PRE_MARKET_SCREENING", "TRADE_ANALYSIS", "POSITION_OPTIMIZATION", "IDLE", "MARKET_EXECUTION",
    "INTRADAY_MONITORING", "END_OF_DAY_REVIEW", "ERROR", "WEEKLY_REVIEW", "BACKTESTING",
)  # fmt: skip
"""The states in the order in which the week comes to them."""
ENDS_WITHIN_S = 120.0
DIES = """
import os, signal, sys
from simulator.__main__ import main
from simulator.store.database import Store

state, lives, append = sys.argv.pop(1), int(sys.argv.pop(1)), Store.append
events = None  # since the decision that entered `state`; None elsewhere

def watched(self, run, new):
    global events
    for decision in (one.payload["decision"] for one in new if one.kind == "forward.intent"):
        enters = decision["record"]["workflow"]["state"] == state
        if events is not None and not enters:
            os.kill(os.getpid(), signal.SIGKILL)
        events = 0 if enters else None
    append(self, run, new)
    if events is not None and (events := events + len(new)) > lives:
        os.kill(os.getpid(), signal.SIGKILL)

Store.append = watched
sys.exit(main())
"""
"""`sim` that dies in a state of the workflow: so many events after it has entered it, or before it leaves it."""


def make_lab(folder: Path, url: str | None = None, symbols: Sequence[str] = SYMBOLS) -> Path:
    """Make a workspace whose desk watches at 10:00 alone, with half hours of four symbols; models of its agents are
    those of the service at `url`, else the analysts."""
    make_workspace(folder, git=False)
    house = folder / "config" / "desk.yaml"
    house.write_text(house.read_text().replace('["10:00", "11:00", "14:00"]', '["10:00"]'))
    for table in synthetic.fetch(symbols, date(2023, 9, 1), date(2024, 3, 15), 7, "30min"):
        files.write_csv(table, folder / "data" / f"{table.symbol}.csv", table.source)
    if url is not None:
        agents = dict.fromkeys(one.split()[0] for one in WORKS)
        seat = {"provider": "openai_compatible", "endpoint": url, "max_tokens": 700, "timeout_s": 5}
        content = {
            "default": "served",
            "profiles": {"served": {name: {**seat, "model": name} for name in agents}},
            "prices": {url: {"input": 0, "output": 0}},
        }
        (folder / "config" / "models.yaml").write_text(json.dumps(content))
    return folder


@dataclass
class Agents:
    """The analysts behind a service, and what is told of each question: the state in which it is asked."""

    name = "agents"
    asked: Callable[[State], None] = lambda _: None
    honest: Offline = field(default_factory=lambda: Offline(RULES, "soak"))

    async def ask(self, request: ChatRequest) -> ChatResponse:
        said = re.search(r"It is \w+, (\S+) (\S+) New York", request.messages[-1].content)
        day, at = said.groups() if said else (SPOILT, "")
        self.asked(WORKS.get(request.model) or WORKS[f"{request.model} {at}"])
        if request.model == "screener" and day == SPOILT:
            return ChatResponse("I would rather not.", model=request.model)
        return await self.honest.ask(request)


@contextmanager
def serving(agents: Agents) -> Iterator[str]:
    """Serve the agents by a thread of this process; yield the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    service = FakeService(agents, Behaviour(latency_s=0.0))
    try:
        yield asyncio.run_coroutine_threadsafe(service.start(), loop).result(timeout=30)
    finally:
        asyncio.run_coroutine_threadsafe(service.stop(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@dataclass
class Killed:
    """A rehearsal of so many `sessions` in `lab` whose loop is killed, where no agent is asked `lives` events after it
    has entered the state. `at` counts the kills by state."""

    lab: Path
    sessions: int = 5
    more: tuple[str, ...] = ()
    lives: int = 0
    agents: Agents = field(default_factory=Agents)
    at: Counter[State] = field(default_factory=Counter)

    def start(self, dies_in: State | None = None) -> subprocess.Popen[str]:
        program = ["-m", "simulator"] if dies_in is None else ["-c", DIES, dies_in, str(self.lives)]
        words = ["rehearse", "--from", FIRST, "--sessions", str(self.sessions), *WORDS, *self.more, "--json"]
        return subprocess.Popen(
            [sys.executable, *program, *words], cwd=self.lab, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ.copy(),
        )  # fmt: skip

    def kill(self, state: State) -> None:
        """Let it go on until it is in `state`, and kill it there."""
        is_asked = state in WORKS.values()
        with self.start(None if is_asked else state) as process:
            self.agents.asked = lambda found: process.send_signal(signal.SIGKILL) if found == state else None
            _, said = process.communicate(timeout=ENDS_WITHIN_S)
            self.agents.asked = lambda _: None
        assert process.returncode == -signal.SIGKILL, f"never in {state}: {said[-2000:]}"
        assert is_asked or self.shown() == state
        self.at[state] += 1

    def shown(self) -> State:
        """Return the state after the newest decision on record."""
        *_, newest = (one.payload for one in self.events() if one.kind == "forward.intent")
        return newest["decision"]["record"]["workflow"]["state"]  # type: ignore[no-any-return]

    def events(self) -> list[Any]:
        """Return the events of its run, oldest first."""
        folders = sorted((self.lab / "reports").glob("forward-*"))
        if not folders:
            return []
        with Store(self.lab / "sim.db") as store:
            return [one.event for one in store.of_forward(folders[0].name.rpartition("-")[2])]

    def finish(self) -> dict[str, Any]:
        """Let it end; return what it printed, less where, and all that was decided, ordered, filled and booked. Its
        replay is the same."""
        with self.start() as process:
            out, said = process.communicate(timeout=10 * ENDS_WITHIN_S)
        assert process.returncode == 0, said[-2000:]
        made = json.loads(out)
        words = [sys.executable, "-m", "simulator", "forward", "parity", made["run"]]
        shown = subprocess.run(words, cwd=self.lab, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        return outcome(made, self.events())


def outcome(made: dict[str, Any], events: Sequence[Any]) -> dict[str, Any]:
    """Return what a rehearsal came to: its accounts, decisions with their orders, fills and books. Numbers are rounded:
    the last bit of a sum depends on the order in which fills of one instant were told."""
    decided, fills, books = {}, [], {}
    for one in events:
        if one.kind == "forward.intent":  # of a decision that was planned again the newest
            decided[one.at] = {name: one.payload[name] for name in ("decision", "orders", "protects")}
        elif one.kind == "forward.fill":
            fills.append({name: one.payload[name] for name in ("symbol", "at", "quantity", "price", "why")})
        elif one.kind == "forward.session" and one.account is not None:
            books[one.at] = {name: one.payload[name] for name in ("equity", "positions")}
    fills.sort(key=lambda one: (one["at"], one["symbol"]))
    accounts = {name: {k: one[k] for k in ("equity", "positions", "fills")} for name, one in made["accounts"].items()}
    return dict(rounded({"accounts": accounts, "decided": decided, "fills": fills, "books": books}, 8))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--rounds", type=int, default=3, help="weeks with a kill in each state; the broker fails from the second on"
    )
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    began, at, agents = time.monotonic(), Counter[State](), Agents()
    with serving(agents) as url, tempfile.TemporaryDirectory() as folder:
        whole = Killed(make_lab(Path(folder) / "whole", url)).finish()
        for n in range(given.rounds):
            faults = [word for fault in FAULTS if n for word in ("--fault", fault)]
            more = (*faults, "--seed", str(given.seed + n)) if n else ()
            killed = Killed(make_lab(Path(folder) / f"killed-{n}", url), more=more, lives=3 * n, agents=agents)
            for state in DAY:
                killed.kill(state)
            assert killed.finish() == whole
            at.update(killed.at)
            came_to = f"{len(whole['decided'])} decisions and {len(whole['fills'])} fills"
            print(f"{killed.at.total()} kills{' while the broker fails' if n else ''}: {came_to}, as without any")
    assert set(at) == set(STATES)
    listed = ", ".join(f"{state} {at[state]}" for state in STATES)
    print(f"{at.total()} kills of the desk in {(time.monotonic() - began) / 60:.1f} minutes: {listed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
