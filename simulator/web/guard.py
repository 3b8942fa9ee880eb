"""Checks that every request passes before a page sees it (Host, Origin, size), and the headers of every answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 64 * 1024
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
OPEN = ("/healthz",)
"""Paths a health check asks by any name of this machine; they change and tell nothing."""
LOCAL = ("/metrics",)
"""Paths for programs of this machine: by its own names, never by that of a proxy."""


@dataclass(frozen=True)
class Addresses:
    """Names under which the pages are asked for: `hosts` as in Host, `origins` as in Origin."""

    hosts: frozenset[str]
    origins: frozenset[str]
    here: frozenset[str] = frozenset()
    """Names of this machine, by which alone LOCAL is asked for where `hosts` are those of a proxy."""

    @property
    def is_secure(self) -> bool:
        """Return True where browsers reach the pages by https alone, so that cookies may be kept to it."""
        return all(one.startswith("https://") for one in self.origins)


def addresses(host: str, port: int, public: Collection[str] = ()) -> Addresses:
    """Return the names of a server on `host` and `port`, and of the proxies before it (``https://desk.example.org``).

    Where a proxy is named, it is the only way in: the proxy passes Host on.
    """
    names = {f"[{host}]" if ":" in host else host, "localhost", "127.0.0.1"}
    hosts = frozenset(f"{one}:{port}" for one in names)
    if public:
        return Addresses(frozenset(urlsplit(one).netloc for one in public), frozenset(public), hosts)
    return Addresses(hosts, frozenset(f"http://{one}" for one in hosts))


class Guard:
    """Refuses what comes by another name (DNS rebinding), from another page (cross-site), or is too long."""

    def __init__(self, app: ASGIApp, known: Addresses) -> None:
        self.app, self.known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BODY:  # nobody announced it
                raise HTTPException(413, "the body is too long")
            return message

        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refuse(scope["method"], scope["path"], Headers(scope=scope))
        await (refused or self.app)(scope, receive_limited, send_headed)

    def _refuse(self, method: str, path: str, headers: Headers) -> PlainTextResponse | None:
        if path in OPEN and method == "GET":
            return None
        local = path in LOCAL and self.known.here
        if headers.get("host", "") not in (local or self.known.hosts):
            return PlainTextResponse("no such host here; --public names the address of a proxy\n", 421)
        if method not in ("GET", "HEAD"):
            if {*headers.getlist("origin")} - self.known.origins or "origin" not in headers:
                return PlainTextResponse("asked from another site\n", 403)
            size = headers.get("content-length", "0")
            if not size.isdecimal() or int(size) > MOST_BODY:
                return PlainTextResponse("the body is too long\n", 413)
        return None
