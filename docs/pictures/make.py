"""The pictures of README: what a run prints, and its report in a browser. `make pictures` calls this.

docs/pictures/terminal.svg     the terminal, exported by rich
docs/pictures/report.png       the first screen of the report in headless Chromium
docs/pictures/leaderboard.png  its members and council
docs/pictures/sweep.png        the map of a sweep
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

import simulator
from simulator.report.terminal import print_run
from simulator.workspace import make_workspace

HERE = Path(__file__).parent
COMMAND = "sim run --from 2024-01-01 --symbols SPY,QQQ"
WIDTH = 1200
PARTS = {
    "report.png": ("main > :not(.masthead, #verdict)", 710),
    "leaderboard.png": ("main > :not(#members), .accounts, .accounts ~ *", 600),
    "sweep.png": ("main > :not(#map)", 650),
}
"""Picture → what of its page is left out, and the height of the rest."""

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def terminal(run: simulator.Run) -> None:
    """What the run printed, as an SVG that asks nothing of the network."""
    console = Console(record=True, width=80, force_terminal=True, file=io.StringIO())
    with contextlib.chdir(run.folder.parents[1]):
        print_run(run.folder, console)
    drawn = console.export_svg(title=COMMAND, clear=False)
    # rich names a web font; the viewer's own monospace font will do.
    drawn = re.sub(r"@font-face\s*\{[^}]*\}", "", drawn).replace("Fira Code, monospace", "monospace")
    (HERE / "terminal.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", encoding="utf-8")


def picture(page: Path, name: str, browser: str) -> None:
    """Part of a page as a reader sees it."""
    left_out, height = PARTS[name]
    with tempfile.TemporaryDirectory() as profile:
        part = Path(profile) / name.replace("png", "html")
        rule = f"{left_out} {{ display: none; }} #members, #map {{ margin-top: 0; }}"
        part.write_text(
            page.read_text(encoding="utf-8").replace("</head>", f"<style>{rule}</style></head>"), encoding="utf-8"
        )
        subprocess.run(
            [browser, *QUIET, "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}",
             f"--screenshot={HERE / name}", part.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("pictures: no Chromium found; install one")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        make_workspace(workspace, git=False)
        run = simulator.run("macro_council", ["SPY", "QQQ"], "2024-01-01", workspace=workspace)
        terminal(run)
        picture(run.folder / "report.html", "report.png", browser)
        picture(run.folder / "report.html", "leaderboard.png", browser)
        space = {"fast": "5:50:5", "slow": "60:200:10"}
        sweep = simulator.sweep("sma_cross", ["SPY"], "2020-01-02", parameters=space, workspace=workspace)
        picture(sweep.folder / "sweep.html", "sweep.png", browser)


if __name__ == "__main__":
    main()
