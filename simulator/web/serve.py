"""The pages at work: on loopback, unless another host is named."""

from __future__ import annotations

import socket
from collections.abc import Collection
from urllib.parse import urlsplit

import uvicorn

from simulator.errors import SimError, UsageError
from simulator.forward.mode import is_loopback
from simulator.printing import say
from simulator.store.database import open_store
from simulator.web.app import make_app
from simulator.web.guard import addresses
from simulator.web.tokens import read_tokens
from simulator.workspace import Workspace


def serve(workspace: Workspace, host: str, port: int, public: Collection[str] = ()) -> None:
    """Serve the pages of a workspace on `port` (0: a free one) until Ctrl-C ends it.

    `public` names the addresses of a proxy. Raises UsageError for another host than loopback without one: tokens would
    travel in the clear; SimError for a port that is taken.
    """
    for one in public:
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or one != f"{parts.scheme}://{parts.netloc}" or "@" in one:
            raise UsageError(f"--public {one} is no address", mend="https://NAME, as browsers see it")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise UsageError(f"--public {one} would send tokens in the clear", mend=f"https://{parts.netloc}")
    if not public and not is_loopback(host):
        mend = "keep 127.0.0.1, or name the proxy before it: --public https://NAME"
        raise UsageError(f"--host {host} would send tokens in the clear", mend=mend)
    if not read_tokens(workspace):
        say("nobody can log in yet: `sim web token add NAME --role approve`, typed in another terminal, shows a token; "
            "--role read lets its person look alone", err=True)  # fmt: skip
    with (
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening,
        open_store(workspace) as store,
    ):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise SimError(f"port {port}: {error.strerror}", mend="name another, or 0 for a free one") from None
        taken = listening.getsockname()[1]
        at = ", ".join(public) or f"http://{host}:{taken}/"
        behind = f", behind a proxy that asks {host}:{taken}" if public else ""
        say(f"{at} serves the desk{behind}; Ctrl-C ends it", err=True)
        app = make_app(workspace, store, addresses(host, taken, public))
        options = {"proxy_headers": bool(public), "server_header": False, "timeout_graceful_shutdown": 2}
        config = uvicorn.Config(app, log_level="warning", access_log=False, **options)  # type: ignore[arg-type]
        uvicorn.Server(config).run(sockets=[listening])
