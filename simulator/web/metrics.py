"""State of the forward loops as text in Prometheus' format, and as one word for a health check."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar, cast

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from simulator.errors import SimError
from simulator.forward.approvals import read_approvals
from simulator.forward.status import Status, read_status
from simulator.store.database import Store
from simulator.web.sessions import Limiter
from simulator.web.tokens import find_token
from simulator.workspace import Workspace

HEALTH = ("at work", "late", "gone", "given up", "stopped")
TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of `render_metrics`."""

KEPT_S = 2.0

Sample = tuple[Mapping[str, str], float]
T = TypeVar("T")


def render_metrics(loops: Sequence[Status], waiting: Mapping[str, int]) -> str:
    """Return gauges of every loop and account, and of the trades that wait by run; no line stands for what is not
    known."""
    equity = [
        ({"run": loop.run, "account": name}, one.equity)
        for loop in loops
        for name, one in loop.accounts.items()
        if one.equity is not None
    ]
    shares: list[Sample] = [
        ({"run": loop.run, "account": name, "symbol": symbol}, held)
        for loop in loops
        for name, one in loop.accounts.items()
        for symbol, held in one.positions.items()
    ]
    labels = [{"run": loop.run, "strategy": loop.strategy, "mode": loop.mode} for loop in loops]
    health: list[Sample] = [
        ({**label, "health": health}, float(loop.health == health))
        for label, loop in zip(labels, loops, strict=True)
        for health in HEALTH
    ]
    sound = [({"run": loop.run}, float(loop.is_sound)) for loop in loops]
    age = [({"run": loop.run}, loop.age_s) for loop in loops]
    families: tuple[tuple[str, str, Iterable[Sample]], ...] = (
        ("sim_forward_loops", "Loops that ever beat in this workspace.", [({}, float(len(loops)))]),
        ("sim_forward_health", "1 for the health a loop is in, 0 for the others.", health),
        ("sim_forward_sound", "1 for a loop that is at work or was stopped on purpose.", sound),
        ("sim_forward_heartbeat_age_seconds", "Seconds since the last heartbeat.", age),
        ("sim_forward_equity_dollars", "Equity at the last close booked.", equity),
        ("sim_forward_position_shares", "Signed shares by our own books.", shares),
        (
            "sim_forward_approvals_waiting",
            "Trades that wait for a person.",
            [({"run": loop.run}, float(waiting.get(loop.run, 0))) for loop in loops],
        ),
    )
    lines: list[str] = []
    for name, about, samples in families:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
        lines += [_render_sample(name, labels, value) for labels, value in samples]
    return "\n".join(lines) + "\n"


def is_healthy(loops: Sequence[Status]) -> bool:
    """Return True where no loop hangs or is gone: status 200 of ``/healthz``, else 503."""
    return all(loop.is_sound for loop in loops)


@dataclass
class Newest(Generic[T]):
    """Result of `read`, which reads the whole store: once in KEPT_S however many ask, and by one thread at a time."""

    read: Callable[[], T]
    at: float = -inf
    value: T | SimError | None = None
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def get(self) -> T:
        """Return the newest result. Raises the SimError of reading it."""
        async with self.turn:
            if time.monotonic() - self.at > KEPT_S:
                try:
                    self.value = await anyio.to_thread.run_sync(self.read)
                except SimError as error:
                    self.value = error
                self.at = time.monotonic()
        if isinstance(self.value, SimError):
            raise self.value
        return cast(T, self.value)


def routes(workspace: Workspace, store: Store, limiter: Limiter | None = None) -> list[Route]:
    """Return ``/healthz``, open to all, and ``/metrics``, which names equity and is for this machine alone.

    Behind a proxy, where `limiter` counts wrong tries, it is for whoever brings a token: a proxy asks from this machine
    too, and need not say for whom.
    """

    async def check_health(_request: Request) -> Response:
        try:
            sound = await health.get()
        except SimError:
            sound = False
        return PlainTextResponse("ok\n" if sound else "not well: `sim forward status`\n", 200 if sound else 503)

    def read() -> str:
        waiting = Counter(one.run for one in read_approvals(store) if one.state == "waiting")
        return render_metrics(read_status(workspace, store), waiting)

    async def show_metrics(request: Request) -> Response:
        refused = _refuse_stranger(request) if limiter is None else _refuse_without_token(request, workspace, limiter)
        if refused is not None:
            return refused
        try:
            text = await rendered.get()
        except SimError as error:
            return PlainTextResponse(f"{error.found}\n", 503)
        return Response(text, media_type=TYPE)

    health, rendered = Newest(lambda: is_healthy(read_status(workspace, store))), Newest(read)
    return [Route("/healthz", check_health), Route("/metrics", show_metrics)]


def _refuse_stranger(request: Request) -> Response | None:
    here = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    if here and not any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip")):
        return None
    return PlainTextResponse("metrics are for this machine alone\n", 403)


def _refuse_without_token(request: Request, workspace: Workspace, limiter: Limiter) -> Response | None:
    address = request.client.host if request.client else ""
    if (wait := limiter.wait_s(address)) > 0.0:
        return PlainTextResponse("too many tries\n", 429, {"retry-after": str(int(wait) + 1)})
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and find_token(workspace, text.strip()) is not None:
        return None
    if text:
        limiter.note(address)
    line = "metrics behind a proxy are for who brings a token, Authorization: Bearer; `sim web token add`\n"
    return PlainTextResponse(line, 401, {"www-authenticate": "Bearer"})


def _render_sample(name: str, labels: Mapping[str, str], value: float) -> str:
    escapes = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
    inside = ",".join(f'{label}="{text.translate(escapes)}"' for label, text in labels.items())
    braces = f"{{{inside}}}" if inside else ""
    return f"{name}{braces} {float(value)!r}"
