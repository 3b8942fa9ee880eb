"""Requests to the broker: time-outs, the rate limit, what a failure means, and which requests are repeated.

    Requester.ask ─► wait for the rate limit ─► one attempt ─► answer
                        ▲                     ├── UnsentError      429, no connection: no effect; repeated
                        └── back-off ◄────────┤── UnansweredError  time-out, 5xx, no JSON: reads are repeated, the
                                              │                    rest may have been carried out
                                              ├── RejectedError    4xx: refused for good
                                              └── AccessError      401, twice: nothing is asked on this line any more

The kind of a failure is read from its status; a 403 that is not the broker's own JSON comes from what stands between.
The client's own retries, which repeat a POST, never happen: it sees no failing answer.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import requests
from requests import exceptions as failures
from urllib3.exceptions import NewConnectionError

from simulator.errors import BrokerError
from simulator.forward.alerts import Kind
from simulator.forward.threads import in_thread
from simulator.keys import scrub
from simulator.trading.broker import RejectedError, UnansweredError

P = ParamSpec("P")
T = TypeVar("T")

PER_MINUTE = 200
MINUTE_S = 60.0
RESERVED = 0.1
"""Part of a minute's requests that is kept for orders: reading never uses it up."""
AT_ONCE = 4
"""Requests of one account under way at the same time."""


class UnsentError(BrokerError):
    """A request that had no effect: no connection, or too many requests."""


class LeftAloneError(BrokerError):
    """Fault for which an account is left alone from then on; `alert` is the kind that people are told it under."""

    alert: Kind = "failed"


class AccessError(LeftAloneError):
    """Keys that the broker does not take, or no longer."""

    alert: Kind = "key refused"


class OtherOrderError(LeftAloneError):
    """Another order has the id of ours: nothing in the account can be trusted to be ours."""

    alert: Kind = "order unknown"


class OtherAccountError(LeftAloneError):
    """Keys open another account than was registered."""

    alert: Kind = "account changed"


class UnexplainedError(BrokerError):
    """Shares at the broker that are other than those of the books, and no fill says why."""


class ClockError(BrokerError):
    """This machine's clock and the broker's are too far apart."""


@dataclass(frozen=True)
class Patience:
    """Seconds that are waited for a broker, and attempts at one request.

    Attributes
    ----------
    connect_s, read_s, whole_s : to connect, between two bytes, for a whole request
    backoff_s : before the second attempt; doubles with each
    settle_s : for the end of an order that was cancelled, and for a stream to listen
    poll_s : between two looks at the orders while the stream tells nothing
    clock_limit_s : by which this machine's clock may differ from the broker's, which is the one that counts
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    whole_s: float = 20.0
    attempts: int = 4
    backoff_s: float = 1.0
    settle_s: float = 15.0
    poll_s: float = 5.0
    clock_limit_s: float = 120.0


@dataclass
class RateLimit:
    """Requests that are left in the broker's minute, as its `X-RateLimit-*` headers stated last."""

    limit: int = PER_MINUTE
    left: int = PER_MINUTE
    resets_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    async def take(self, reads: bool, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Take a request out of this minute; sleep until the next one where none is left."""
        while True:
            with self.lock:
                now = time.monotonic()
                if now >= self.resets_at:
                    self._begin(now)
                if self.left > (RESERVED * self.limit if reads else 0):
                    self.left -= 1
                    return
                awaited = self.resets_at
            await sleep(awaited - now)
            with self.lock:
                if self.resets_at == awaited:  # slept by another clock than this one, in a rehearsal
                    self._begin(time.monotonic())

    def _begin(self, now: float) -> None:
        self.left, self.resets_at = self.limit, now + MINUTE_S

    def note(self, headers: Mapping[str, str]) -> None:
        """Read the headers of an answer. The wait counts from the broker's own clock, not from this machine's."""
        try:
            left, resets = int(headers["X-RateLimit-Remaining"]), float(headers["X-RateLimit-Reset"])
            sent = parsedate_to_datetime(headers["Date"]).timestamp() if "Date" in headers else time.time()
            limit = int(headers.get("X-RateLimit-Limit", self.limit))
            if not math.isfinite(resets):
                return
        except (KeyError, ValueError, TypeError, OverflowError):
            return
        with self.lock:
            resets_at = time.monotonic() + min(max(resets - sent, 0.0), MINUTE_S) + 0.1
            # Answers come out of order: within a minute the least that was told counts, with what is still under way.
            same = abs(resets_at - self.resets_at) < 2.0 and limit == self.limit
            self.left, self.limit = min(self.left, left) if same else left, limit
            self.resets_at = resets_at


class OneAttempt(requests.Session):
    """Session of alpaca-py's clients: one attempt with time-outs; raises what the failure means."""

    def __init__(self, limit: RateLimit, patience: Patience, *, local: bool) -> None:
        super().__init__()
        self.limit, self.patience = limit, patience
        self.trust_env = not local  # a proxy of the environment does not lead to this machine

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Send once. Raises UnsentError, UnansweredError, RejectedError and AccessError."""
        options["timeout"] = (self.patience.connect_s, self.patience.read_s)
        what = f"{method} {urlsplit(str(url)).path}"
        try:
            answer = super().request(method, url, *args, **options)
        except failures.RequestException as error:
            kind = UnsentError if _never_sent(error) else UnansweredError
            raise kind(f"{what}: {type(error).__name__}") from None
        self.limit.note(answer.headers)
        _check(what, method, answer)
        return answer


def _never_sent(error: failures.RequestException) -> bool:
    reason = error.args[0] if error.args else None
    if isinstance(getattr(reason, "reason", None), NewConnectionError):
        return True
    return isinstance(error, failures.ConnectTimeout | failures.SSLError | ValueError)


def _check(what: str, method: str, answer: requests.Response) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        try:
            if method == "GET" or answer.content:  # a cancel has no words
                answer.json()
        except (ValueError, RecursionError):
            raise UnansweredError(f"{what}: the answer is no JSON") from None
        return
    said = f"{what}: {status} {_words(answer)}"
    theirs = _is_json(answer)
    if status == 401 or (status == 403 and method == "GET" and theirs):  # a reading is refused for its keys alone
        raise AccessError(said, mend="check the keys of the account")
    if status == 429:
        raise UnsentError(said)
    if status >= 500 or status == 408 or (method == "GET" and (status < 400 or (status == 403 and not theirs))):
        raise UnansweredError(said)
    raise RejectedError(said, status=status)


def _is_json(answer: requests.Response) -> bool:
    try:
        return isinstance(answer.json(), dict)
    except (ValueError, RecursionError):
        return False


def _words(answer: requests.Response) -> str:
    """Return the message of a failing answer, where there is one a person can read."""
    try:
        said = str(answer.json().get("message", ""))
    except (ValueError, AttributeError, RecursionError):
        said = ""  # a page of HTML
    return scrub(said or str(answer.reason or ""))[:300]


class Requester:
    """Requests of one account: in threads of its own, within the rate limit, repeated where that is safe."""

    def __init__(
        self,
        limit: RateLimit,
        patience: Patience,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limit, self.patience, self.sleep, self._slots = limit, patience, sleep, threading.Semaphore(AT_ONCE)
        self.closed: AccessError | None = None
        self.is_hurried: Callable[[], bool] = lambda: False
        """Says that nothing is asked again for now."""
        self.asked = self.failed = 0
        """Attempts so far, and those among them that had no answer; a refusal is one."""

    async def ask(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Read by `call(*args, **options)`, repeated until there is an answer.

        Raises UnsentError or UnansweredError after the last attempt, RejectedError at once, AccessError after two.
        """
        return await self._attempts(lambda: call(*args, **options), reads=True)

    async def order(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Change something by `call(*args, **options)`: repeated only where the attempt certainly had no effect.

        Raises UnansweredError where it may have been carried out, else as `ask`.
        """
        return await self._attempts(lambda: call(*args, **options), reads=False)

    async def _attempts(self, call: Callable[[], T], *, reads: bool) -> T:
        failure: BrokerError = UnsentError("no attempt was made")
        for attempt in range(self.patience.attempts):
            if attempt and self.is_hurried():
                break
            if attempt:
                await self.sleep(self.patience.backoff_s * 2.0 ** (attempt - 1))
            await self.limit.take(reads, self.sleep)
            if self.closed is not None:
                raise self.closed
            self.asked += 1
            try:
                return await self._once(call)
            except UnsentError as error:
                failure = error
            except UnansweredError as error:
                failure = error
                if not reads:
                    self.failed += 1
                    break
            except AccessError as error:
                if not isinstance(failure, AccessError) and attempt + 1 < self.patience.attempts:
                    failure = error  # said once, it may be an error of theirs
                else:
                    self.failed, self.closed = self.failed + 1, error
                    raise
            self.failed += 1
        raise failure

    async def _once(self, call: Callable[[], T]) -> T:
        """One attempt in a thread. What sends a byte now and then would pass every time-out between bytes, and a
        look-up of names has none: the whole is limited as well."""
        try:
            async with asyncio.timeout(self.patience.whole_s):
                return await in_thread(call, self._slots)
        except TimeoutError:
            raise UnansweredError(f"no answer within {self.patience.whole_s:g} s") from None
