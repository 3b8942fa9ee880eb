"""Virtual environments that hold the simulator, what it requires and nothing else, made without a network."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import simulator

ROOT = Path(simulator.__file__).parent.parent

Build = Callable[[Path, str], Path]
Environment = Callable[[Path, Path], Path]


@pytest.fixture(scope="session")
def build() -> Build:
    """``build(folder, "wheel")``: the distribution built there; what a build needs comes from this environment."""

    def make(folder: Path, kind: str) -> Path:
        code = f"import sys, hatchling.build as b; print(b.build_{kind}(sys.argv[1]))"
        words = [sys.executable, "-c", code, str(folder)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        return folder / done.stdout.split()[-1]

    return make


@pytest.fixture(scope="session")
def environment() -> Environment:
    """``environment(folder, wheel)``: as ``pip install`` of that wheel makes it, without extras; its folder."""

    def make(folder: Path, wheel: Path) -> Path:
        venv.create(folder, symlinks=True)
        site = next(folder.glob("lib/python*/site-packages"))
        zipfile.ZipFile(wheel).extractall(site)
        own = next(site.glob("council_simulator-*.dist-info"))
        for name in _required(metadata.PathDistribution(own).requires or [], set()):
            for top in {path.parts[0] for path in metadata.files(name) or ()} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
        command = folder / "bin" / "sim"
        command.write_text(f"#!{folder}/bin/python\nfrom simulator.cli import main\n\nmain()\n")
        command.chmod(0o755)
        return folder

    return make


def _required(lines: list[str], seen: set[str]) -> set[str]:
    """Put into `seen` the distributions that lines of ``Requires-Dist`` bring, by themselves and by others."""
    for wanted in map(Requirement, lines):
        chosen = [{"extra": extra} for extra in wanted.extras or {""}]
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            inner = metadata.requires(wanted.name) or []
            more = [
                line
                for line in inner
                if (marker := Requirement(line).marker) is None or any(map(marker.evaluate, chosen))
            ]
            if wanted.name not in seen:
                seen.add(wanted.name)
                _required([line.partition(";")[0] for line in more], seen)
    return seen
