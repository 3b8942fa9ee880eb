"""Load of `sim web`: events as fast as a busy desk makes them, to browsers that look on; how late, how large it gets.

    python benchmarks/web.py [--minutes 10] [--rate 200] [--connections 20]

The pages run as a process of their own, over a store that this one writes to, a batch every twentieth of a second as a
loop does. One connection is a Chromium on the overview, where there is one; the others read the stream alone. An
event's age is the time from its writing to its arrival. Memory is that of the process of the pages, from a fifth of the
time on: caches are full by then.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.web.tokens import add_token
from simulator.workspace import Workspace, make_workspace

SIM = "import sys; from simulator.cli import main; main(sys.argv[1:])"
TICK_S = 0.05
MOST_S, MOST_GROWTH = 0.25, 0.05
IN_BROWSER = """
window.ages = [];
const watched = new EventSource("/events");
watched.onmessage = (message) => {
  const sent = JSON.parse(message.data).text.match(/sent ([0-9.]+)/);
  if (sent) window.ages.push(Date.now() / 1000 - Number(sent[1]));
};
0
"""


def serve(root: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the pages on a free port."""
    words = [sys.executable, "-c", SIM, "web", "--port", "0"]
    process = subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r":(\d+)/", process.stderr.readline())
    assert found
    return process, int(found[1])


def log_in(port: int, token: str) -> str:
    """Return the cookie of a session."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/login", f"token={token}", {"origin": f"http://127.0.0.1:{port}"})
    found = re.search("sim_session=[^;]+", connection.getresponse().getheader("set-cookie") or "")
    assert found
    return found[0]


def listen(port: int, token: str, ages: list[float], done: threading.Event) -> None:
    """Log in and note the age of every event of a stream."""
    cookie = log_in(port, token)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/events", headers={"cookie": cookie})
    stream = connection.getresponse()
    assert stream.status == 200
    while not done.is_set():
        line = stream.readline()
        if found := re.search(rb"sent ([0-9.]+)", line):
            ages.append(time.time() - float(found[1]))


def write(store: Store, seconds: float, rate: float, process: subprocess.Popen[str]) -> tuple[int, list[float]]:
    """Write events for `seconds`; return how many, and the megabytes of the pages once a second."""
    began, written, sizes = time.time(), 0, list[float]()
    while (now := time.time()) < began + seconds:
        due = int((now - began) * rate) - written
        if due:
            facts = {"kind": "load", "symbol": "SPY", "text": f"sent {now:.4f} "}
            store.append("load", [Event("forward.alert", None, "COUNCIL", facts)] * due)
            written += due
        if len(sizes) < now - began:
            sizes.append(memory_mb(process.pid))
        time.sleep(TICK_S)
    return written, sizes


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def open_browser(root: Path, port: int, token: str) -> Any:
    """Return a Chromium that looks at the overview, None where there is none."""
    from tests.report.conftest import CHROMIUM, Browser

    if CHROMIUM is None:
        return None
    browser = Browser(root / "profile")
    browser.ask("Page.navigate", url=f"http://127.0.0.1:{port}/login")
    time.sleep(2.0)
    browser.run("document.querySelector('#token').focus()")
    browser.ask("Input.insertText", text=token)
    browser.press("Enter")
    time.sleep(2.0)
    browser.run(IN_BROWSER)
    return browser


def describe(name: str, ages: list[float], count: int) -> tuple[str, float]:
    """Return a line about the ages of the events that arrived, and the age that 95 of 100 stayed below."""
    middle, late, most = np.percentile(ages, [50, 95, 100]) * 1000 if ages else (np.nan,) * 3
    return (
        f"{name:12} {len(ages):>9,} of {count:,}   p50 {middle:.0f}   p95 {late:.0f}   most {most:.0f} ms",
        late / 1000,
    )


def main() -> int:
    """Print the figures; 1 where they are beyond what is promised."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--minutes", type=float, default=10.0)
    given.add_argument("--rate", type=float, default=200.0)
    given.add_argument("--connections", type=int, default=20)
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_workspace(root / "desk")
        workspace = Workspace(root / "desk", root / "desk")
        token = add_token(workspace, "load", "read")
        with Store(store_place(workspace.registry)) as store:
            store.append("load", [Event("forward.started", None, None, {"rehearsed": True})])
            process, port = serve(root / "desk")
            done, ages = threading.Event(), list[float]()
            browser = open_browser(root, port, token)
            others = options.connections - (browser is not None)
            for _ in range(others):
                threading.Thread(target=listen, args=(port, token, ages, done), daemon=True).start()
            time.sleep(3.0)
            count, sizes = write(store, options.minutes * 60.0, options.rate, process)
            time.sleep(2.0)
            done.set()
            seen = browser.run("window.ages") if browser else []
            if browser:
                browser.close()
            process.terminate()
            process.wait(20)
    settled = sizes[len(sizes) // 5 :]
    growth = np.mean(settled[-10:]) / np.mean(settled[:10]) - 1.0
    lines = [describe("streams", ages, count * others), *([describe("Chromium", seen, count)] if browser else [])]
    print(
        f"{count:,} events in {options.minutes:g} minutes to {options.connections} connections, {os.cpu_count()} cores"
    )
    print("\n".join(line for line, _ in lines))
    print(f"memory       {settled[0]:.0f} to {settled[-1]:.0f} MB, {growth:+.1%}")
    whole = len(ages) == count * others and (not browser or len(seen) == count)
    return 0 if whole and all(late <= MOST_S for _, late in lines) and growth <= MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
