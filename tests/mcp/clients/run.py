"""Inspector and conformance suite of the Model Context Protocol, from npm, at our servers: `make test-clients`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import uvicorn

from simulator.mcp.server import make_server
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.workspace import find_workspace

ROOT = Path(__file__).parents[3]
PLACE = ROOT / ".clients" / "mcp"
# The suite needs Node 22, whatever Node is here.
WANTED = ("@modelcontextprotocol/inspector@2.12.0", "@modelcontextprotocol/conformance@0.1.16", "node@22")
SCENARIOS = ("server-initialize", "ping", "tools-list", "dns-rebinding-protection")
"""Those for a server that has tools and nothing else; the others call tools that a server made for the suite has."""
AS_OF = "2024-06-03"


def ask_inspector(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    server = [sys.executable, "-m", "simulator", "mcp", "market", "--as-of", AS_OF]
    place = os.environ.get("PYTHONPATH")  # the inspector hands on none of its own variables, and takes no empty one
    command = ["mcp-inspector", "--cli", *(("-e", f"PYTHONPATH={place}") if place else ()), *server, *words]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def inspect(env: dict[str, str]) -> None:
    listed = json.loads(ask_inspector(env, "--method", "tools/list").stdout)
    assert len(listed["tools"]) == 5, listed
    call = ("--method", "tools/call", "--tool-name", "get_quote", "--tool-arg")
    told = json.loads(ask_inspector(env, *call, "symbol=NVDA").stdout)
    assert told["structuredContent"]["symbol"] == "NVDA", told
    refused = ask_inspector(env, *call, "symbol=NVDAA")
    assert 'no bars of \\"NVDAA\\"' in refused.stdout + refused.stderr, refused
    print("inspector: lists tools, calls one, is refused with the reason")


def conform(env: dict[str, str]) -> None:
    """The suite sends no header, so it asks the server without the check of the token that stands before it."""
    server = make_server("market", open_desk(DeskRequest(as_of=AS_OF), find_workspace(ROOT)))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        serving = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error"))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        try:
            for scenario in SCENARIOS:
                command = ["conformance", "server", "--url", url, "--scenario", scenario]
                subprocess.run(command, env=env, cwd=PLACE, timeout=120, check=True)
        finally:
            serving.should_exit = True
            thread.join()


def main() -> None:
    if shutil.which("npm") is None:
        print("npm is not here: inspector and conformance suite were not tried", file=sys.stderr)
        return
    stamp = PLACE / "installed"
    if not stamp.exists() or stamp.read_text() != str(WANTED):  # an installation that was cut off is repeated
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *WANTED], cwd=PLACE, check=True)
        stamp.write_text(str(WANTED))
    env = {**os.environ, "PATH": f"{PLACE / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"}
    inspect(env)
    conform(env)


if __name__ == "__main__":
    main()
