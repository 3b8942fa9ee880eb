"""Build what deploy/Dockerfile builds, without Docker: its steps, parsed from it, run below a folder.

    python tests/deploy/image.py [FOLDER]      `make image-steps`

COPY takes what .dockerignore leaves, RUN is run by bash with the image's paths below the folder, USER and ENV hold from
there on. At last the entry point is tried, as that user where this Python is not hidden from others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
OWN = ("/opt/sim", "/var/lib/sim", "/src")
"""Folders of the image that the steps write."""
TRIED = ("--version", "doctor", "rehearse --strategy sma_cross --from 2024-06-03 --sessions 1", "forward status")

PRELUDE = r"""
set -euo pipefail
python() { command "$PYTHON" "$@"; }
groupadd() { command groupadd --prefix "$BELOW" "$@"; }
useradd() { command useradd --prefix "$BELOW" "$@"; }
install() { command install -d -m 700 -o 10001 -g 10001 "${@: -1}"; }
"""


@dataclass
class Image:
    """Image as its steps leave it below the folder `below`."""

    below: Path
    at: str = "/"
    user: int = 0
    env: dict[str, str] = field(default_factory=dict)
    entry: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def place(self, text: str) -> str:
        """Return `text` with the folders of the image below ours."""
        return re.sub(rf"(?<![\w.])({'|'.join(OWN)})(?=[/:\s'\";]|$)", lambda found: f"{self.below}{found[1]}", text)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run `script` where the image stands, as its user."""
        where = Path(self.place(self.at))
        where.mkdir(parents=True, exist_ok=True)
        tools = {"PYTHON": sys.executable, "BELOW": str(self.below), "PATH": os.environ["PATH"]}
        nobody = {"user": self.user, "group": self.user, "extra_groups": ()} if self.user and is_reachable() else {}
        passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        done = subprocess.run(
            ["bash", "-c", PRELUDE + self.place(script)], cwd=where, capture_output=True, text=True, check=False,
            env={**passed, **tools, **{name: self.place(value) for name, value in self.env.items()}}, **nobody,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{script}\n{done.stdout}{done.stderr}")
        return done


def is_reachable() -> bool:
    """Return True where root runs a Python that others may run too."""
    folders = Path(sys.executable).resolve().parents
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in folders)


def steps() -> Iterator[tuple[str, str]]:
    """Yield (instruction, arguments) of the Dockerfile, lines joined and comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def ignored(path: Path) -> bool:
    """Return True for what .dockerignore keeps from the builder: all but the names that begin with ``!``."""
    taken = [one[1:] for one in (ROOT / ".dockerignore").read_text().splitlines() if one.startswith("!")]
    inside = path.relative_to(ROOT).as_posix()
    return "__pycache__" in path.parts or not any(inside == one or inside.startswith(f"{one}/") for one in taken)


def copy(image: Image, arguments: str) -> None:
    """Copy from the checkout; what another stage made lies below the same folder already."""
    *sources, target = shlex.split(arguments)
    if sources[0].startswith("--from="):
        return
    for source in (ROOT / one for one in sources):
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        files = [path for path in files if not ignored(path)]
        if not files:
            raise SystemExit(f"COPY {source.name}: .dockerignore leaves nothing of it")
        base = Path(image.place(f"{image.at}/{target.removeprefix('./')}".rstrip("./")))
        for path in files:
            to = base / (path.name if source.is_file() else path.relative_to(source))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)


def build(below: Path) -> Image:
    """Take every step of the Dockerfile below the folder. Raises SystemExit with what a step printed."""
    image = Image(below)
    (below / "etc").mkdir(parents=True)
    below.chmod(0o755)
    for word, rest in steps():
        if word == "WORKDIR":
            image.at = rest
        elif word == "COPY":
            copy(image, rest)
        elif word == "RUN":
            image.run(rest)
        elif word == "USER":
            image.user = int(rest.partition(":")[0])
        elif word == "ENV":
            image.env |= dict(one.split("=", 1) for one in shlex.split(rest))
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition("CMD ")[2])
        elif word == "ENTRYPOINT":
            image.entry = json.loads(rest)
        elif word == "CMD":
            image.command = json.loads(rest)
    return image


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        image = build(Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/image"))
        os.environ["PATH"] = image.place(image.env["PATH"])
        for words in (*TRIED, shlex.join(image.health[1:])):
            print(f"{shlex.join(image.entry)} {words}\n{image.run(f'{shlex.join(image.entry)} {words}').stdout}")


if __name__ == "__main__":
    main()
