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
DOCUMENTS = "alpaca-mcp-server==2.4.0"
"""Carries Alpaca's OpenAPI documents; only these are wanted, so nothing it needs is installed."""


def install(name: str, *wanted: str) -> Path:
    """Return the Python of an environment of that name that has `wanted`, words of pip."""
    python, stamp = PLACE / name / "bin" / "python", PLACE / name / "installed"
    if not stamp.exists() or stamp.read_text() != str(wanted):  # an installation that was cut off is begun anew
        venv.create(PLACE / name, with_pip=True, clear=True)
        for words in wanted:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *words.split()], check=True)
        stamp.write_text(str(wanted))
    return python


def install_npm() -> Path | None:
    """Return a folder that has the npm client, None where there is no npm."""
    if shutil.which("npm") is None:
        print("npm is not here: its client was not tried", file=sys.stderr)
        return None
    place, stamp = PLACE / "npm", PLACE / "npm" / "installed"
    if not stamp.exists() or stamp.read_text() != NPM:
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", NPM], cwd=place, check=True)
        stamp.write_text(NPM)
    return place


def main() -> None:
    old, folder = install("old", OLD), install_npm()
    checker = install("documents", "jsonschema", f"--no-deps {DOCUMENTS}")
    (documents,) = PLACE.glob("documents/lib/*/site-packages/alpaca_mcp_server/specs")
    words = ["--bars", str(ROOT / "data"), "--port", "0", "--rate-limit", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.exchange", *words], stdout=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        url = served.stdout.readline().split()[3].rstrip(",")
        try:
            subprocess.run([old, HERE / "old_client.py", url], check=True, timeout=120)
            subprocess.run([checker, HERE / "documents.py", url, documents], check=True, timeout=120)
            if folder is not None:
                shutil.copy(HERE / "npm_client.js", folder)
                subprocess.run(["node", "npm_client.js", url], cwd=folder, check=True, timeout=120)
        finally:
            served.terminate()


if __name__ == "__main__":
    main()
