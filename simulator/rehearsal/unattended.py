"""Sessions that nobody watches: a rehearsal whose loop is stopped, killed and upgraded at moments drawn from its seed.

make_plan(seed) ─► Moment: at an instant of the exchange's clock the loop's process …
    kill       … is killed, and started again by the same words
    reboot     … is killed, and the exchange ends too: it comes back from its journal
    stop       … is asked to end, and started again
    upgrade    … is asked to end; the store is backed up, put back and rebuilt; another version of the program goes on
while a share of all requests fails, fills are reported twice or not at all, and streams break.

What is left is held against the exchange and against a replay of the sessions.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import simulator
from simulator.errors import BrokerError, SimError
from simulator.files import write_file
from simulator.forward.alpaca import EXIT
from simulator.forward.mode import make_rehearsal_keys
from simulator.forward.status import read_positions
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.number_format import counted, dollars
from simulator.rehearsal.parity import compare
from simulator.rehearsal.rehearse import Rehearsal, Told, exchange_at
from simulator.store.backup import back_up, restore
from simulator.store.connection import store_place
from simulator.store.database import Store, open_store
from simulator.workspace import MARKER

What = Literal["kill", "reboot", "stop", "upgrade"]
KINDS: tuple[What, ...] = ("kill", "upgrade", "reboot", "stop")
HOW = {"kill": "kill", "reboot": "kill", "stop": "stop", "upgrade": "stop"}
ENDLESS = datetime.max.replace(tzinfo=UTC)
HOURS = (-3.5, -1.6, -0.02, 0.02, 1.1, 3.0, 6.4, 6.52, 9.0)
"""Hours from the open at which something happens: in the night, before and about the auction, at the close."""
FAULTS = (
    *("reply-lost=0.02", "request-lost=0.02", "504-after=0.02", "503=0.02", "502-html=0.01", "429=0.01"),
    *("fill-lost=0.1", "fill-twice=0.1", "stream-cut=0.01"),
)
"""A tenth of all requests fails."""
PAGE = "unattended.md"
PACKAGE = Path(simulator.__file__).parent
STARTERS = ("strategies", "config", "data", "llm_cache", "sim.toml")
"""Beside the package in a checkout; a wheel has them inside."""
ATTEMPTS, MOST, CENT = 50, 500, 0.01


@dataclass(frozen=True)
class Moment:
    """Before the loop sleeps past `at` of the exchange's clock, `what` happens to it."""

    at: datetime
    what: What


@dataclass(frozen=True)
class Outcome:
    """Result of unattended sessions: moments that came, {check: what was wrong, empty where nothing}, and figures."""

    run: str
    folder: Path
    held: int
    came: Sequence[Moment]
    checks: Mapping[str, str]
    equity: Mapping[str, float]
    alerts: Mapping[str, int]
    requests: int
    failed: int

    @property
    def is_sound(self) -> bool:
        return not any(self.checks.values())

    @property
    def page(self) -> Path:
        return self.folder / PAGE

    def to_json(self) -> dict[str, object]:
        """Return what `sim rehearse --unattended --json` prints."""
        came = [{"at": one.at.isoformat(), "what": one.what} for one in self.came]
        return {**asdict(self), "folder": str(self.folder), "came": came, "sound": self.is_sound}


def make_plan(rehearsal: Rehearsal) -> list[Moment]:
    """Return a moment of every session, drawn from the seed; every kind has come after four."""
    luck, moments = random.Random(rehearsal.seed), []
    for number, opens in enumerate(sessions(rehearsal.spec.first, rehearsal.last).opens_at.tolist()):
        hours = luck.choice(HOURS)
        moments.append(Moment(moment(opens) + timedelta(hours=hours), KINDS[number % len(KINDS)]))
    return moments


@dataclass
class Unattended:
    """Sessions of `rehearsal` by processes of their own, the next after each of its moments."""

    rehearsal: Rehearsal
    told: Told | None = None
    came: list[Moment] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Faults of backups on the way."""
    code: Path = PACKAGE.parent

    def run(self) -> Outcome:
        """Hold the sessions, and what is left of them against exchange and replay. Raises SimError."""
        plan = make_plan(self.rehearsal)
        with tempfile.TemporaryDirectory() as versions, ExitStack() as opened:
            url = opened.enter_context(exchange_at(self.rehearsal, None))
            for now in plan:
                if not self._hold(url, now):
                    break
                self.came.append(now)
                if self.told is not None:
                    self.told(len(self.came), len(plan), f"{now.at:%Y-%m-%d %H:%M} · {now.what}")
                if now.what == "upgrade":
                    self._upgrade(Path(versions))
                elif now.what == "reboot":
                    opened.close()
                    url = opened.enter_context(exchange_at(self.rehearsal, None))
            else:
                self._hold(url, None)
            outcome = self._conclude(url)
        write_file(outcome.page, write_page(self.rehearsal, outcome).encode())
        return outcome

    def _hold(self, url: str, until: Moment | None) -> bool:
        """Start the loop; False where its sessions ended before `until`. Raises SimError where it fails."""
        words = [sys.executable, "-P", "-m", "simulator", "rehearse", *to_words(self.rehearsal), "--exchange", url]
        ending = (ENDLESS, "stop") if until is None else (until.at, HOW[until.what])
        words += ["--until", f"{ending[0].isoformat()} {ending[1]}"]
        out = self.rehearsal.workspace.out
        more = {"SIM_WORKSPACE": str(out)} if (out / MARKER).is_file() else {}
        paths = os.pathsep.join(filter(None, (str(self.code), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, **more, "PYTHONPATH": paths}
        done = subprocess.run(words, cwd=out, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return False
        if until is not None and done.returncode in (0, -signal.SIGKILL):
            return True
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SimError(f"the loop failed: {last}", where=str(self.rehearsal.folder), mend="repeat the command")

    def _upgrade(self, versions: Path) -> None:
        """Back the store up, put the backup elsewhere and rebuild it; write another version of the program."""
        place = store_place(self.rehearsal.workspace.registry)
        number = sum(one.what == "upgrade" for one in self.came)
        back_up(place, backup := versions / f"{number}.sqlite")
        restore(backup, again := versions / f"{number}.db")
        with Store(again) as copy, open_store(self.rehearsal.workspace) as store:
            run = self.rehearsal.run
            made = copy.rebuild()
            if made.differed or made.left or copy.of_forward(run) != store.of_forward(run):
                self.wrong.append(f"the backup of {self.came[-1].at:%Y-%m-%d} is another store")
        self.code = versions / str(number)
        shutil.copytree(PACKAGE, self.code / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in STARTERS:
            if (PACKAGE.parent / name).exists():
                (self.code / name).symlink_to(PACKAGE.parent / name)
        with (self.code / PACKAGE.name / "__init__.py").open("a") as module:
            module.write(f'\n__version__ += "+{number}"\n')

    def _conclude(self, url: str) -> Outcome:
        rehearsal = self.rehearsal
        with open_store(rehearsal.workspace) as store:
            stored = store.of_forward(rehearsal.run)
        ended = [one.event.payload for one in stored if one.event.kind == "forward.session"]
        held = len({row["session"] for row in ended})
        parity = compare(rehearsal.run, rehearsal.folder, rehearsal.workspace)
        last = {str(one.event.account): one.event.payload for one in stored if "unexplained" in one.event.payload}
        twice, apart = [], []
        for name, row in last.items():
            twice += [f"{name}: {one}" for one in _ordered_twice(_orders(url, name))]
            positions = {one["symbol"]: float(one["qty"]) for one in _ask(url, name, "/v2/positions")}
            if positions != read_positions(name, stored) or abs(row["unexplained"] or 0.0) >= CENT:
                apart.append(f"{name}: {positions} at the exchange, ${row['unexplained'] or 0.0:.2f} unexplained")
        checks = {
            "every session was held": "" if held == rehearsal.count else f"{held} of {rehearsal.count}",
            "the replay of the sessions is the same": "; ".join(map(str, parity.differences[:3])),
            "nothing was ordered twice": "; ".join(twice),
            "shares and cash are the exchange's": "; ".join(apart),
            "each backup goes back and is the store": "; ".join(self.wrong),
        }
        alerts = Counter(str(one.event.payload["kind"]) for one in stored if one.event.kind == "forward.alert")
        requests, failed = (sum(int(row.get(name, 0)) for row in ended) for name in ("requests", "failed"))
        equity = {name: float(row["equity"]) for name, row in last.items()}
        return Outcome(rehearsal.run, rehearsal.folder, held, self.came, checks, equity, dict(alerts), requests, failed)


def to_words(rehearsal: Rehearsal) -> list[str]:
    """Return the options of `sim rehearse` that begin, or go on with, the same rehearsal."""
    spec = rehearsal.spec
    words = ["--from", str(spec.first), "--sessions", str(rehearsal.count), "--strategy", str(spec.strategy)]
    words += ["--symbols", ",".join(spec.symbols), "--seed", str(rehearsal.seed), "--json"]
    for name, value in spec.parameters.items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for name, given in (("--bars", spec.bars), ("--models", spec.models), ("--max-cost", spec.max_cost)):
        words += [] if given is None else [name, str(given)]
    return words + [word for line in rehearsal.script for word in ("--fault", line)]


def write_page(rehearsal: Rehearsal, outcome: Outcome) -> str:
    """Return the summary of unattended sessions as a page of Markdown: the same for the same seed."""
    happened, spec = Counter(one.what for one in outcome.came), rehearsal.spec
    lines = [
        f"# {counted(outcome.held, 'session')} unattended: {spec.strategy}, {', '.join(spec.symbols)}",
        f"From {spec.first} to {rehearsal.last}, seed {rehearsal.seed}, rehearsal {outcome.run}: "
        f"{', '.join(counted(happened[kind], kind) for kind in KINDS)}.",
        "| check | |\n|---|---|\n" + "\n".join(f"| {name} | {why or 'yes'} |" for name, why in outcome.checks.items()),
        "| account | equity |\n|---|---:|\n"
        + "\n".join(f"| {name} | {dollars(equity)} |" for name, equity in outcome.equity.items()),
        "| New York time | what happened to the loop |\n|---|---|\n"
        + "\n".join(f"| {one.at.astimezone(NEW_YORK):%Y-%m-%d %H:%M} | {one.what} |" for one in outcome.came),
        "Faults of the exchange: " + (", ".join(f"`{line}`" for line in rehearsal.script) or "none") + ".",
    ]
    return "\n\n".join(lines) + "\n"


def _ask(url: str, account: str, path: str) -> Any:
    """Return what the exchange says of an account, asked again while faults are drawn. Raises BrokerError."""
    keys = make_rehearsal_keys(account)
    headers = {"APCA-API-KEY-ID": keys.key, "APCA-API-SECRET-KEY": keys.secret}
    for _ in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=2.0) as answer:
                return json.load(answer)
        except (OSError, ValueError, HTTPException) as error:
            why = error
    raise BrokerError(f"the rehearsal exchange does not answer: {why}", where=url)


def _orders(url: str, account: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = f"&after={found[-1]['submitted_at']}" if found else ""
        page = _ask(url, account, f"/v2/orders?status=all&limit={MOST}&nested=true&direction=asc{after}")
        found += page
        if len(page) < MOST:
            return found


def _ordered_twice(orders: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was ordered more than once at an instant; of exits, which are put anew after a kill, one is left."""
    exits = [one for one in orders if one["client_order_id"].startswith(EXIT)]
    entries = [one for one in orders if not one["client_order_id"].startswith(EXIT)]
    twice = []
    for those in (entries, [one for one in exits if one["status"] != "canceled"]):
        count = Counter((one["created_at"], one["side"], one["symbol"]) for one in those)
        twice += [" ".join(which) for which, times in count.items() if times > 1]
    return twice
