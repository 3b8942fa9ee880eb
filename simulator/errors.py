"""Errors, as one tree.

SimError                  exit 1   the run itself failed
├── UsageError            exit 2   the command makes no sense as typed
│   └── ConfigError                a file in config/ or strategies/ is wrong (names file and line)
│       └── rules.StrategyError    a strategy file fails (brings the traceback of the user's code)
├── DataError             exit 3   bars are missing, unreadable or inconsistent (names symbol and date)
├── LLMError              exit 4   an answer could not be had
│   ├── BudgetError                the budget is spent; what was paid for is kept
│   ├── StoppedByUserError  exit 130   somebody stopped a run while answers were waited for; they are kept
│   ├── NoResultError              nothing is made of the answers that came; they are kept
│   │   ├── UnansweredError        a question that kept failing in passing
│   │   ├── CacheMissError         mode `replay` and the answer is not on disk
│   │   └── CacheCorruptError      an entry does not match its own digest
│   └── llm.providers.TransientError  a passing failure; retried by the gateway, never seen outside it
├── BrokerError           exit 5   the broker refused or could not be reached
└── AuditError            exit 1   the two engines disagree

An error prints as one line: what was found, where, and the command that mends it.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

from simulator.printing import printable


class SimError(Exception):
    """A failure a person can act on.

    Parameters
    ----------
    found : what was found, e.g. ``no bars for "SYP"``
    where : file:line, or symbol and date; omitted when `found` says it
    mend : the command to type or the change to make
    """

    exit_code = 1

    def __init__(self, found: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.found, self.where, self.mend = found, where, mend
        super().__init__(found)

    def __str__(self) -> str:
        head = f"{self.where}: {self.found}" if self.where else self.found
        line = f"{head}; {self.mend}" if self.mend else head
        return printable(" ".join(line.split()))


class UsageError(SimError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class DataError(SimError):
    exit_code = 3


class LLMError(SimError):
    exit_code = 4
    paid_usd: float | None = None
    """Dollars that were charged although no answer came of it; None where nothing says so."""


class BudgetError(LLMError):
    pass


class StoppedByUserError(LLMError):
    exit_code = 130


class NoResultError(LLMError):
    """Stop that leaves answers and no result: what would stand in it would depend on chance."""


class UnansweredError(NoResultError):
    pass


class CacheMissError(NoResultError):
    pass


class CacheCorruptError(NoResultError):
    pass


class BrokerError(SimError):
    exit_code = 5


class AuditError(SimError):
    pass


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``', did you mean "close"?'`` for the nearest of `known`, or an empty string."""
    by_case = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=0.6)
    return f', did you mean "{by_case[near[0]]}"?' if near else ""


DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNUSABLE_PATH = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def disk_fault(error: BaseException | None) -> str:
    """Return the fault of a disk, path or database anywhere in the chain of causes; empty if there is none."""
    while error is not None:
        if isinstance(error, OSError):
            path = f": {os.fspath(error.filename)!s}" if isinstance(error.filename, str | os.PathLike) else ""
            if error.errno == errno.ENOENT and error.filename is None:
                return "the current folder is gone; `cd` into one that is there"
            if error.errno in DISK_FULL:
                return f"disk is full{path}; free some space and repeat the command"
            if error.errno in UNUSABLE_PATH:
                return f"{os.strerror(error.errno or 0).lower()}{path}; `sim doctor` shows what can be written"
        # By name: importing sqlite3 costs more than the rest of `sim --help`.
        if type(error).__module__ == "sqlite3" and type(error).__name__ == "OperationalError":
            return f"database: {error}; `sim doctor` shows what can be written"
        error = error.__cause__
    return ""
