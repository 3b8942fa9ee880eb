"""A soak: rehearsed sessions whose loop is killed at random moments while the broker fails, and what is left of them.

    python tests/rehearsal/soak.py [--kills 50] [--seed 0]    `make soak`; a sample of it is in test_soak.py

The exchange is a process of its own. The loop is killed with `kill -9` and started again by the same words, every fifth
time with the exchange, until its sessions have ended. Then the replay of the sessions must be the same to the cent,
every order must be at the exchange once, and its positions must be those of the books. At last come fifteen unattended
sessions of each strategy.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.exchange.server import listen
from simulator.forward.alpaca import EXIT
from simulator.workspace import make_workspace

FAULTS = ("reply-lost=0.04", "request-lost=0.04", "504-after=0.03", "503=0.03", "502-html=0.03", "429=0.03")
"""A fifth of all requests fails."""
STREAM = ("fill-lost=0.2", "fill-twice=0.2", "stream-cut=0.02")
STARTS_WITHIN_S = 60.0
BRACKETS = ("schedule.cadence=daily", "fast=2", "slow=3", "exits.stop=0.005", "exits.take_profit=0.005")
"""A rule whose stops and targets are so near that most of them fill."""
TESTS = (("macro_council", (), 3.0), ("sma_cross", BRACKETS, 0.5), ("small_council", (), 3.0))
"""Strategies, their settings, and the seconds within which their loop is killed."""


@dataclass
class Soak:
    """A rehearsal in `workspace` of so many `sessions` of `strategy` from `first` on, under `faults`."""

    workspace: Path
    sessions: int
    strategy: str = "small_council"
    symbols: str = "SPY,QQQ"
    first: str = "2024-06-03"
    faults: tuple[str, ...] = (*FAULTS, *STREAM)
    seed: int = 0
    sets: tuple[str, ...] = ()
    kills: int = 0
    at: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        with listen("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.luck = random.Random(self.seed)

    @contextmanager
    def exchange(self) -> Iterator[subprocess.Popen[str]]:
        """Run the exchange, which comes back from its journal."""
        command = [sys.executable, "-m", "simulator.exchange", "--bars", str(self.workspace / "data" / "sample")]
        command += ["--symbols", f"{self.symbols},BIL", "--from", self.first, "--port", str(self.port)]
        command += ["--rate-limit", "100000000", "--seed", str(self.seed)]
        command += ["--journal", str(self.workspace / f"exchange-{self.seed}.jsonl")]
        command += [word for fault in self.faults for word in ("--fault", fault)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "rehearsal exchange at" in process.stdout.readline()
            try:
                yield process
            finally:
                process.kill()

    def loop(self) -> subprocess.Popen[str]:
        words = ["rehearse", "--from", self.first, "--sessions", str(self.sessions), "--strategy", self.strategy]
        words += ["--symbols", self.symbols, "--seed", str(self.seed), "--exchange", self.url, "--json"]
        words += [word for one in self.sets for word in ("--set", one)]
        return subprocess.Popen(
            [sys.executable, "-m", "simulator", *words], cwd=self.workspace, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=os.environ.copy(),
        )  # fmt: skip

    def run(self, kills: int, most_s: float) -> dict[str, Any]:
        """Kill the loop so often, within `most_s` of its start each time, then let it end; return what it printed."""
        while True:
            with self.exchange() as exchange:
                while True:
                    process = self.loop()
                    killed = self.kills < kills and self._kill(process, most_s)
                    out, err = process.communicate(timeout=600)
                    if not killed:
                        assert process.returncode == 0, err[-2000:]
                        return dict(json.loads(out))
                    self.kills += 1
                    if self.kills % 5 == 0:
                        exchange.send_signal(signal.SIGKILL)
                        break

    def _kill(self, process: subprocess.Popen[str], most_s: float) -> bool:
        """Kill `process` at a moment after its loop's first heartbeat; False where it had ended before."""
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until and process.poll() is None and not self._beats(process.pid):
            time.sleep(0.01)
        try:
            process.wait(self.luck.random() * most_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            self.at[self.state()["now"][:10]] += 1
            return True
        return False

    def _beats(self, pid: int) -> bool:
        hearts = (self.workspace / "logs" / "forward").glob("heartbeat-*.json")
        return any(f'"pid": {pid}' in heart.read_text() for heart in hearts)

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/rehearsal", timeout=30) as answer:
            return dict(json.load(answer))

    def broker(self, account: str, path: str) -> Any:
        """Return what the exchange says of an account, faults off."""
        off = json.dumps({fault.partition("=")[0]: 0.0 for fault in self.faults}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/rehearsal/faults", off), timeout=30).close()
        headers = {"APCA-API-KEY-ID": f"REHEARSAL{account}", "APCA-API-SECRET-KEY": "rehearsed"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=30) as answer:
            return json.load(answer)

    def check(self, made: dict[str, Any]) -> None:
        """Assert that nothing was ordered twice, nothing lost, and that the books are the broker's and the replay's."""
        assert made["sessions"] == self.sessions
        words = [sys.executable, "-m", "simulator", "forward", "parity", str(made["run"])]
        shown = subprocess.run(words, cwd=self.workspace, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        with self.exchange():
            for account, one in made["accounts"].items():
                sent = self.broker(account, "/v2/orders?status=all&limit=500&nested=true")
                exits = [o for o in sent if o["client_order_id"].startswith(EXIT)]  # put anew after a kill: one is left
                for those in ([o for o in sent if o not in exits], [o for o in exits if o["status"] != "canceled"]):
                    count = Counter((o["symbol"], o["side"], o["created_at"]) for o in those)
                    assert max(count.values(), default=0) <= 1, (account, those)
                held = {p["symbol"]: float(p["qty"]) for p in self.broker(account, "/v2/positions")}
                assert held == one["positions"]
                assert abs(one["unexplained"]) < 0.01, (account, one)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--sessions", type=int, default=10)
    options.add_argument("--seed", type=int, default=0, help="of the first rehearsal; each has one of its own")
    given = options.parse_args()
    began, kills, rehearsals, sessions = time.monotonic(), 0, 0, 0
    at: Counter[str] = Counter()
    while kills < given.kills:
        with tempfile.TemporaryDirectory() as folder:
            make_workspace(workspace := Path(folder) / "workspace", git=False)
            strategy, sets, most_s = TESTS[rehearsals % len(TESTS)]
            soak = Soak(workspace, given.sessions, strategy, seed=given.seed + rehearsals, sets=sets)
            soak.check(soak.run(given.kills - kills, most_s))
            kills, rehearsals, sessions = kills + soak.kills, rehearsals + 1, sessions + soak.sessions
            at.update(soak.at)
            print(f"{strategy}: {soak.kills} kills, {soak.sessions} sessions ended, replay and broker agree")
    for seed, (strategy, sets, _) in enumerate(TESTS, given.seed):
        with tempfile.TemporaryDirectory() as folder:
            make_workspace(workspace := Path(folder) / "workspace", git=False)
            words = ["--from", "2024-06-03", "--sessions", "15", "--strategy", strategy, "--symbols", "SPY,QQQ"]
            words += ["--seed", str(seed), *(word for one in sets for word in ("--set", one)), "--unattended"]
            subprocess.run([sys.executable, "-m", "simulator", "rehearse", *words], cwd=workspace, check=True)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{kills} kills on {len(at)} sessions in {rehearsals} rehearsals of {sessions} sessions, {minutes:.1f} minutes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
