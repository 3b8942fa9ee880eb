"""Clients that nobody here wrote, each in an environment of its own, at the rehearsal exchange: `make test-clients`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
PLACE = ROOT / ".clients"
OLD, NPM = "alpaca-trade-api==3.2.0", "@alpacahq/alpaca-trade-api@4.0.2"


def install_old() -> Path:
    """Return a Python that has the old client."""
    python = PLACE / "old" / "bin" / "python"
    if not python.exists():
        venv.create(PLACE / "old", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", OLD], check=True)
    return python


def install_npm() -> Path | None:
    """Return a folder that has the npm client, None where there is no npm."""
    if shutil.which("npm") is None:
        print("npm is not here: its client was not tried", file=sys.stderr)
        return None
    if not (PLACE / "npm" / "node_modules").exists():
        (PLACE / "npm").mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", NPM], cwd=PLACE / "npm", check=True)
    return PLACE / "npm"


def main() -> None:
    python, folder = install_old(), install_npm()
    words = ["--bars", str(ROOT / "data"), "--port", "0", "--rate-limit", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.exchange", *words], stdout=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        url = served.stdout.readline().split()[3].rstrip(",")
        try:
            subprocess.run([python, HERE / "old_client.py", url], check=True, timeout=120)
            if folder is not None:
                shutil.copy(HERE / "npm_client.js", folder)
                subprocess.run(["node", "npm_client.js", url], cwd=folder, check=True, timeout=120)
        finally:
            served.terminate()


if __name__ == "__main__":
    main()
