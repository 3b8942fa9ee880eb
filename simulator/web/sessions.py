"""Sessions of browsers, in memory: they end with the process, after twelve hours, or with the token behind them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from dataclasses import dataclass

from simulator.web.tokens import Role, Token, digest_of, read_tokens
from simulator.workspace import Workspace

LASTS_S = 12 * 3600.0
TRIES, STRANGERS, WITHIN_S = 10, 100, 60.0
MOST, MOST_OF_TOKEN = 1000, 20
"""Addresses whose failed tries are counted, and sessions of a token."""


@dataclass(frozen=True)
class Session:
    """A browser that has logged in. `csrf` is what its requests that change something bring in a header."""

    name: str
    role: Role
    token: str
    csrf: str
    ends: float


class Sessions:
    """Sessions by the hash of their cookie."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.known: dict[str, Session] = {}

    def begin(self, token: Token) -> str:
        """Return the cookie of a new session; the oldest of the same token gives way where it has too many."""
        cookie = secrets.token_urlsafe(32)
        same = [key for key, one in self.known.items() if one.token == token.digest]
        if len(same) >= MOST_OF_TOKEN:
            del self.known[same[0]]
        ends = time.monotonic() + LASTS_S
        self.known[digest_of(cookie)] = Session(token.name, token.role, token.digest, secrets.token_urlsafe(24), ends)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie, None once it or its token has ended."""
        found = self.known.get(digest_of(cookie)) if cookie else None
        if found is None:
            return None
        standing = {(one.digest, one.role) for one in read_tokens(self.workspace)}
        if time.monotonic() >= found.ends or (found.token, found.role) not in standing:
            self.end(cookie)
            return None
        return found

    def end(self, cookie: str) -> None:
        """End a session."""
        self.known.pop(digest_of(cookie), None)


class Limiter:
    """Failed logins: `TRIES` of one address or device in `WITHIN_S` seconds, `STRANGERS` of all addresses together,
    then none is looked at until they are past.

    An address can be changed with every try, where a proxy names it, and strangers share one with those they want to
    lock out. So a browser that has logged in before is known by its own cookie, and nobody else's tries count for it.
    """

    def __init__(self) -> None:
        self.failed: dict[str, deque[float]] = {}

    def wait_s(self, who: str, device: str | None = None) -> float:
        """Return the seconds until another try of an address, or of a `device` that is known, is looked at."""
        return max(_wait(self.failed.get(key, deque()), most) for key, most in _keys(who, device))

    def note(self, who: str, device: str | None = None) -> None:
        """Count a failed try."""
        for key, _ in _keys(who, device):
            if key not in self.failed and len(self.failed) >= MOST:
                del self.failed[next(one for one in self.failed if one != "")]
            self.failed.setdefault(key, deque()).append(time.monotonic())


def _keys(who: str, device: str | None) -> list[tuple[str, int]]:
    """Return under which names a try counts, and how many each may have."""
    return [(f"address {who}", TRIES), ("", STRANGERS)] if device is None else [(f"device {device}", TRIES)]


def _wait(tries: deque[float], most: int) -> float:
    now = time.monotonic()
    while tries and tries[0] <= now - WITHIN_S:
        tries.popleft()
    return tries[-most] + WITHIN_S - now if len(tries) >= most else 0.0


def make_device(token: Token) -> str:
    """Return what a browser that has logged in by `token` shows from then on."""
    name = secrets.token_urlsafe(16)
    return f"{name}.{_sign(token, name)}"


def find_device(workspace: Workspace, shown: str) -> str | None:
    """Return the name of a device that has logged in by a token that still stands."""
    name, _, sign = shown.partition(".")
    known = [secrets.compare_digest(_sign(one, name).encode(), sign.encode()) for one in read_tokens(workspace)]
    return name if any(known) else None


def _sign(token: Token, name: str) -> str:
    return hmac.new(token.digest.encode(), name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
