"""Sessions of browsers, in memory: they end with the process, after twelve hours, or with the token behind them."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass

from simulator.web.tokens import Role, Token, digest_of, read_tokens
from simulator.workspace import Workspace

LASTS_S = 12 * 3600.0
TRIES, WITHIN_S = 10, 60.0
MOST = 1000


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
        """Return the cookie of a new session; the oldest gives way where there are too many."""
        cookie = secrets.token_urlsafe(32)
        if len(self.known) >= MOST:
            del self.known[next(iter(self.known))]
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
    """Failed logins of an address: `TRIES` in `WITHIN_S` seconds, then none is looked at until they are past."""

    def __init__(self) -> None:
        self.failed: dict[str, deque[float]] = {}

    def wait_s(self, address: str) -> float:
        """Return the seconds until another try is looked at."""
        tries, now = self.failed.get(address, deque()), time.monotonic()
        while tries and tries[0] <= now - WITHIN_S:
            tries.popleft()
        return tries[0] + WITHIN_S - now if len(tries) >= TRIES else 0.0

    def note(self, address: str) -> None:
        """Count a failed try."""
        if len(self.failed) >= MOST:
            del self.failed[next(iter(self.failed))]
        self.failed.setdefault(address, deque()).append(time.monotonic())
