"""A server at work: on stdin and stdout, or on a port of this machine for who has the token."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable

import anyio
import uvicorn

from simulator.desk.state import DeskState
from simulator.desk.tools.registry import Group
from simulator.errors import ConfigError, SimError
from simulator.mcp.server import http_app, make_server, serve_stdio
from simulator.printing import say, stream_of

HOST = "127.0.0.1"
TOKEN = "SIM_MCP_TOKEN"
LEAST_TOKEN = 16


def serve(group: Group, state: Callable[[], DeskState], port: int | None) -> None:
    """Serve the tools of `group` until the client, or Ctrl-C, ends it: on stdin and stdout, or on `port` (0: a free
    one). Raises ConfigError for a token that is none, SimError for a port that is taken."""
    server = make_server(group, state)
    if port is None:
        # The protocol has stdout for itself: what anybody prints meanwhile goes to stderr.
        sys.stdout = stream_of()
        anyio.run(serve_stdio, server)
        return
    token, made = read_token()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen()  # before the address is told: who reads it may come at once
        except OSError as error:
            raise SimError(f"port {port}: {error.strerror}", mend="name another, or 0 for a free one") from None
        say(f"http://{HOST}:{listening.getsockname()[1]}/mcp serves {group} tools; Ctrl-C ends it", err=True)
        if made:
            say(f"Authorization: Bearer {token}", err=True)
        config = uvicorn.Config(http_app(server, token), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


def read_token() -> tuple[str, bool]:
    """Return the bearer token, and True where it was made because the environment states none."""
    stated = os.environ.get(TOKEN, "")
    if not stated:
        return secrets.token_urlsafe(32), True
    if len(stated) < LEAST_TOKEN or not stated.isascii() or any(sign <= " " for sign in stated):
        mend = f"at least {LEAST_TOKEN} ASCII characters without spaces; without it one is made"
        raise ConfigError("is no token", where=TOKEN, mend=mend)
    return stated, False
