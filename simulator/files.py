"""Files of others are opened with care, files of ours appear whole, and what a killed process left is swept away.

    .NAME.sim-PID-BORN-N  ──rename or exchange──►  NAME

A name that begins with a dot and ends so stands aside: it belongs to the process of that number and start, and to
nobody once that process has ended.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from simulator.errors import SimError

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
ASIDE = re.compile(r"\.(?P<target>.+)\.(?P<ours>sim-)?(?P<pid>\d+)(?:-(?P<born>\d*)-\d+)?(?P<kind>\.old|\.new)?")
"""What stands aside; without ``sim-`` that of versions before 0.2."""

PRIVATE = 0o600
CAREFUL = os.O_RDONLY if sys.platform == "win32" else os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Flags that keep opening from waiting: for the other end of a pipe, for a terminal."""

PLAN = "moves"
"""What stands beside this name is a list of what is being moved, for whoever comes after a kill."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_numbers = count()
_held = threading.local()


# ── files of others ─────────────────────────────────────────────────────────────────────────────────────────────────


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return the content of the regular file `path`, of at most `most` bytes.

    Raises OSError, with a reason for people in its ``strerror``: a pipe would never end, nor would a device.
    """
    with open_regular(path) as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most:,} bytes", str(path))
    return content


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open the regular file `path` for reading. Raises OSError as `read_bytes`."""
    handle = os.open(path, CAREFUL | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        refuse_special(path, os.fstat(handle))
        yield file


def read_text(path: Path, most: int | None = None, encoding: str = "utf-8") -> str:
    """Return the text of `path`, line ends as they stand. Raises OSError as `read_bytes`, UnicodeDecodeError."""
    return read_bytes(path, most).decode(encoding)


def refuse_special(path: Path, found: os.stat_result | None = None) -> None:
    """Raise OSError where there is something at `path` that is not a regular file."""
    if found is None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, not a file", str(path))


# ── files of ours ───────────────────────────────────────────────────────────────────────────────────────────────────


def keep_private(path: Path) -> None:
    """Make the database `path` where there is none, and let only its owner read it (0600). Raises OSError."""
    refuse_special(path)
    with suppress(FileExistsError):
        os.close(os.open(path, NEW, PRIVATE))
    tighten(path)


def tighten(path: Path) -> None:
    """Let only the owner of the database `path` read it and SQLite's files beside it, which take its mode over (0600).

    Files of somebody else are left as they are.
    """
    for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        with suppress(OSError):
            if stat.S_IMODE(name.stat().st_mode) & 0o077:
                name.chmod(PRIVATE)


def check_writable(folder: Path) -> None:
    """Raise SimError where nothing could be written into `folder`, which need not exist yet. Leaves nothing."""
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise unwritable(error, folder) from None


def unwritable(error: OSError, place: Path) -> SimError:
    """Return `error` as one line about `place`."""
    if isinstance(error, IsADirectoryError):
        return SimError("cannot be written (a folder is there)", where=str(place), mend="remove it")
    mend = "free space or make the folder writable"
    return SimError(f"cannot be written ({error.strerror})", where=str(place), mend=mend)


def write_file(path: Path, content: bytes | memoryview, mode: int = 0o666, head: bytes = b"") -> Path:
    """Write a file of `head` and `content` in one step, its folder made where needed. Raises SimError when the place
    cannot be written, and for a device or pipe, which a file would take the place of."""
    if not path.name or (path.exists() and not (path.is_file() or path.is_dir())):
        raise SimError(f'"{path}" is no file', mend="name one")
    tries = 0
    while True:
        aside, tries = name_aside(path), tries + 1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent, path.name)
            with os.fdopen(os.open(aside, NEW, mode), "wb") as file:
                file.write(head)
                file.write(content)
            aside.replace(path)
            return path
        except FileNotFoundError:
            # The folder was exchanged for another of its name meanwhile; or it takes no files at all, as /proc.
            if tries == 10 or not path.parent.is_dir():
                raise unwritable(OSError(errno.ENOENT, os.strerror(errno.ENOENT)), path) from None
        except OSError as error:
            raise unwritable(error, path) from None
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def place_all(folder: Path, moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files and folders within `folder` to where nothing or a file stands: all of them or none. Raises OSError.

    The plan is on disk before the first is moved: after a kill in between, the next `sweep` moves the others.
    """
    plan = name_aside(folder / PLAN)
    names = [[path.relative_to(folder).as_posix() for path in pair] for pair in moves]
    done: list[tuple[Path, Path]] = []
    with locked(folder):
        try:
            with plan.open("x", encoding="utf-8") as out:
                json.dump(names, out)
                out.flush()
                os.fsync(out.fileno())
            for aside, target in moves:
                fresh = not os.path.lexists(target)
                aside.replace(target)
                done += [(aside, target)] if fresh else []
        except OSError:
            for aside, target in reversed(done):
                target.replace(aside)
            plan.unlink(missing_ok=True)
            raise
        except BaseException:  # Ctrl-C comes too late: what was begun is finished
            _finish_moves(plan)
            plan.unlink(missing_ok=True)
            raise
        plan.unlink()


def _finish_moves(plan: Path) -> bool:
    try:
        moves = json.loads(read_bytes(plan))
        for aside, target in moves:
            if (plan.parent / aside).exists():
                (plan.parent / aside).replace(plan.parent / target)
    except (OSError, ValueError, TypeError):
        return False  # killed before the plan was whole: nothing was moved
    return True


def name_aside(path: Path, kind: str = "") -> Path:
    """Return the path of this process, and of this call alone, beside `path`."""
    return path.with_name(f".{path.name}.sim-{os.getpid()}-{born(os.getpid()) or ''}-{next(_numbers)}{kind}")


def sweep(parent: Path, name: str | None = None) -> bool:
    """Remove from `parent` what processes that have ended left beside `name`, or beside anything.

    A folder that was moved out of the way and not replaced is put back, and moves that were begun are finished: True
    where there were any. What a live process holds is left alone.
    """
    finished = False
    try:
        found = [(path, ASIDE.fullmatch(path)) for path in os.listdir(parent) if path[0] == "."]
    except OSError:
        return False
    # Plans of moves first: what they have not moved yet must not be swept away.
    for entry, match in sorted(found, key=lambda one: not one[0].startswith(f".{PLAN}.")):
        if match is None or not (match["ours"] if name is None else match["target"] == name):
            continue
        path, target = parent / entry, parent / match["target"]
        if _is_held(int(match["pid"]), match["born"]) or _is_locked(path):
            continue
        with suppress(OSError):
            if match["target"] == PLAN:
                finished |= _finish_moves(path)
            if match["kind"] == ".old" and not os.path.lexists(target):
                path.rename(target)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
    return finished


def _is_held(pid: int, since: str | None) -> bool:
    if pid == os.getpid():
        # Earlier versions wrote no start: there this number was that of a process before.
        return since is not None and since in ("", born(pid))
    return is_alive(pid, since or "")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change what stands in `folder`; a thread that holds it may enter again.

    Ends with the process that holds it. Where a folder cannot be locked nothing is, as on some network disks.
    """
    held: dict[Path, int] = _held.__dict__.setdefault("folders", {})
    if folder in held:
        held[folder] += 1
        try:
            yield
        finally:
            held[folder] -= 1
        return
    handle = _lock(folder)
    held[folder] = 1
    try:
        yield
    finally:
        del held[folder]
        if handle is not None:
            os.close(handle)


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, to be made whole and then moved. Nothing of it outlives the block, or a failure."""
    sweep(target.parent, target.name)
    aside = name_aside(target)
    aside.mkdir()
    # Processes in another container do not see that this one is alive; the lock they see.
    handle = _lock(aside)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _is_locked(path: Path) -> bool:
    try:
        handle = _lock(path, wait=False)
    except BlockingIOError:
        return True
    if handle is not None:
        os.close(handle)
    return False


def _lock(path: Path, wait: bool = True) -> int | None:
    """Return the open file that holds the lock on `path`, None where it cannot be locked.

    Without `wait`, raises BlockingIOError where another process holds it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        handle = os.open(path, CAREFUL)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle


def place_folder(made: Path, target: Path) -> None:
    """Put the folder `made` in the place of `target`, whose readers see the one or the other. Raises OSError.

    What was there is removed. Call it under `locked`: where the system cannot exchange two names, a reader that finds
    none waits for the lock.
    """
    if not os.path.lexists(target):
        made.rename(target)
        return
    if exchange(made, target):
        old = made
    else:
        old = name_aside(target, ".old")
        target.rename(old)
        made.rename(target)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system cannot (renameat2 of Linux). Raises OSError."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(here, os.fsencode(one), here, os.fsencode(other), swap) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(other))


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the folder at `path` from another that takes its place; None where there is none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def born(pid: int) -> str | None:
    """Start of the process in ticks since boot; empty where the system does not tell it, None for one that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def is_alive(pid: int, since: str) -> bool:
    """True while the process of that number and start is at work; an empty `since` stands for any start."""
    # Numbers are given out again: only number and start together name a process.
    now = born(pid)
    if now is None or (now and since and now != since):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
