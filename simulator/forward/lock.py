"""One loop an account: a lock of the machine while it runs, and its last start in the store for others to see.

A lock ends with its process, however that ends. The store tells of a loop on another machine that shares it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from simulator.errors import UsageError
from simulator.files import born, is_alive
from simulator.market.calendar import NEW_YORK
from simulator.store.events import Event, Stored


class Store(Protocol):
    """Events of a run, or of all."""

    def of_forward(self, run_id: str | None, kinds: Sequence[str] = ()) -> Sequence[Stored]: ...

    def append(self, run_id: str, new: Sequence[Event]) -> object: ...


def locks_folder() -> Path:
    """Return the folder of this user's locks: the same for every workspace, terminal and service of the machine, so
    that neither $HOME nor $TMPDIR moves it. $SIM_LOCKS does."""
    if named := os.environ.get("SIM_LOCKS"):
        return Path(named)
    home = Path.home()
    if sys.platform != "win32":
        import pwd

        with suppress(KeyError):  # a number without a name, in a container
            home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return home / ".local" / "state" / "sim" / "locks"


@contextmanager
def hold(names: Sequence[str], folder: Path | None = None) -> Iterator[None]:
    """Hold the locks of `names`, runs and accounts, within the context. Raises UsageError where a loop has one."""
    place = locks_folder() if folder is None else folder
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        mend = "SIM_LOCKS names a folder for this user's locks, the same for every loop of the machine"
        raise UsageError(f"{place} cannot be made: {error.strerror}", mend=mend) from None
    handles: list[int] = []
    try:
        for name in names:
            path = place / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.lock"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            handles.append(handle)
            if not _take(handle):
                pid = os.pread(handle, 20, 0).decode(errors="replace") or "another"
                mend = "`sim forward stop` ends it"
                raise UsageError(f"a loop is at work on {name} already (process {pid})", mend=mend)
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _take(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks: the store is what is left
        return True
    return True


def this_process() -> Mapping[str, object]:
    """Return what names this process in the store."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid()) or ""}


def refuse_second(stored: Sequence[Stored]) -> None:
    """Raise UsageError where the store tells of a loop on the run that has not ended."""
    at = [n for n, one in enumerate(stored) if one.event.kind == "forward.started" and "pid" in one.event.payload]
    if not at or any(one.event.kind == "forward.stopped" for one in stored[at[-1] :]):
        return
    started = stored[at[-1]].event.payload
    host, pid = str(started["host"]), int(started["pid"])
    run, mend = stored[-1].run_id, "`sim forward stop` ends it"
    if host != socket.gethostname():  # silence says nothing: between two points a loop records nothing for days
        mend = f"stop it there; where that machine is gone for good, `sim forward stop {run} --gone`"
    elif pid == os.getpid() or not is_alive(pid, str(started.get("born", ""))):
        return
    raise UsageError(f"process {pid} on {host} is at work on test {run}", mend=mend)


def refuse_shared(store: Store, run: str, numbers: Collection[str]) -> None:
    """Raise UsageError where the store tells of a loop of another run on an account of `numbers`."""
    opened: dict[str, set[str]] = {}
    for one in store.of_forward(None, ("forward.started",)):
        there = one.event.payload.get("opening", {})
        opened[one.run_id] = {str(account["number"]) for account in there.values()}
    for other, theirs in opened.items():
        if other != run and theirs & set(numbers):
            refuse_second(store.of_forward(other))


def count_as_stopped(store: Store, run: str) -> None:
    """Put on record that the loop of `run` on another machine is gone. Raises UsageError where it is not on another."""
    stored = store.of_forward(run) if run else ()
    started = next((one.event.payload for one in reversed(stored) if "pid" in one.event.payload), None)
    if started is None:
        raise UsageError(f'no test "{run}" was begun', mend="name one: `sim forward status` lists them")
    if started["host"] == socket.gethostname():
        raise UsageError(f"{run} was held on this machine", mend=f"`sim forward stop {run}`")
    why = f"its machine, {started['host']}, is gone"
    store.append(run, [Event("forward.stopped", datetime.now(NEW_YORK).isoformat(), None, {"why": why})])
