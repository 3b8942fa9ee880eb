"""Switches anybody can throw from outside the loop, and the heartbeat by which it shows that it is alive.

    forward.stop     in the workspace: nothing more is ordered, entries that wait are cancelled, the loop ends; no loop
                     starts while the file is there. Positions keep their stops and targets.
    forward.pause    nothing is entered; exits, stops and reconciling go on. `sim forward pause`, `resume`
    logs/forward/heartbeat-RUN.json

Files, so that `touch forward.stop` is enough when nothing else answers. The loop looks every `poll_s` seconds.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from simulator.errors import UsageError
from simulator.files import PRIVATE, born, is_alive, read_text, write_file
from simulator.workspace import Workspace

STOP, PAUSE = "forward.stop", "forward.pause"
LATE = 4
"""Heartbeats that may be missing before a loop counts as hanging."""


@dataclass(frozen=True)
class Switches:
    """State of the switch files: the reason somebody wrote, None where the file is not there."""

    stop: str | None
    pause: str | None


def read_switches(workspace: Workspace) -> Switches:
    """Return how the switches stand. One that is there and cannot be read is thrown all the same."""
    return Switches(*(_read(workspace.out / name) for name in (STOP, PAUSE)))


def _read(path: Path) -> str | None:
    if not os.path.lexists(path):
        return None
    try:
        return " ".join(read_text(path, 1000).split()) or f"{path.name} is there"
    except (OSError, UnicodeDecodeError):
        return f"{path.name} is there"


def throw(workspace: Workspace, name: str, reason: str) -> Path:
    """Throw a switch, or leave it thrown. Raises SimError where the file cannot be written."""
    path = workspace.out / name
    return path if os.path.lexists(path) else write_file(path, f"{reason}\n".encode())


def reset(workspace: Workspace, name: str) -> bool:
    """Put a switch back; False where it was not thrown."""
    try:
        (workspace.out / name).unlink()
    except FileNotFoundError:
        return False
    return True


def refuse_if_stopped(workspace: Workspace) -> None:
    """Raise UsageError where the kill switch is thrown."""
    reason = read_switches(workspace).stop
    if reason is not None:
        mend = f"`rm {workspace.out / STOP}` when it is understood"
        raise UsageError(f"the kill switch is thrown ({reason})", mend=mend)


# ── heartbeat ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Heartbeat:
    """State of a loop at its last beat. Instants are ISO; `beat_at` is this machine's time, the others the loop's."""

    run: str
    strategy: str
    accounts: Mapping[str, str]
    """Name → number at the broker."""
    mode: str
    state: str
    """running, paused, waiting for the broker, stopping, stopped …"""
    since: str
    now: str
    next_point: str | None
    every_s: float
    pid: int = 0
    born: str = ""
    beat_at: str = ""
    prices: Mapping[str, Mapping[str, str | float]] = field(default_factory=dict)
    """Newest quotes of the symbols that wait for a person or are held, of no others: {symbol: {at, bid, ask}}."""

    def age_s(self, now: datetime | None = None) -> float:
        """Return the seconds since it was written."""
        return ((now or datetime.now(UTC)) - datetime.fromisoformat(self.beat_at)).total_seconds()

    def is_running(self) -> bool:
        """Return True while the process that wrote it is at work on this machine."""
        return self.state != "stopped" and is_alive(self.pid, self.born)

    def is_late(self, now: datetime | None = None) -> bool:
        """Return True where the loop should have written again by now: it hangs, or was killed."""
        return self.state != "stopped" and self.age_s(now) > LATE * self.every_s


def beat(workspace: Workspace, heart: Heartbeat) -> bool:
    """Write the heartbeat of this process; False where the disk takes nothing, which must not stop the loop."""
    from simulator.errors import SimError

    pid = os.getpid()
    here = {"pid": pid, "born": born(pid) or "", "beat_at": datetime.now(UTC).isoformat()}
    with suppress(SimError):
        text = json.dumps({**asdict(heart), **here})
        write_file(workspace.logs / f"heartbeat-{heart.run}.json", text.encode(), PRIVATE)
        return True
    return False


def read_heartbeats(workspace: Workspace) -> list[Heartbeat]:
    """Return the last beat of every loop of the workspace, the newest last; files that are none are passed over."""
    found = []
    for path in workspace.logs.glob("heartbeat-*.json"):
        with suppress(OSError, ValueError, TypeError):
            heart = Heartbeat(**json.loads(read_text(path, 100_000)))
            datetime.fromisoformat(heart.beat_at)
            found.append(heart)
    return sorted(found, key=lambda heart: heart.beat_at)


def give_up(workspace: Workspace, heart: Heartbeat) -> None:
    """Put down that the loop of a heartbeat, which is gone, is not missed. Raises SimError."""
    text = json.dumps(asdict(replace(heart, state="stopped")))
    write_file(workspace.logs / f"heartbeat-{heart.run}.json", text.encode(), PRIVATE)


def ask_to_stop(heart: Heartbeat) -> None:
    """Ask the process of a heartbeat to end after what it is doing. Raises UsageError where it is not at work here."""
    if not heart.is_running():
        mend = "`sim forward status` lists the loops"
        raise UsageError(f"no loop of {heart.run} is at work on this machine", mend=mend)
    os.kill(heart.pid, signal.SIGTERM)
