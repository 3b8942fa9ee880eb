"""Workspace: the folder a researcher works in, and what lies where in it.

    sim.toml      the marker, found by walking upward as git does
    strategies/   config/   data/   llm_cache/   reports/   sim.db

With no marker in sight the shipped starter files are read and everything written goes to the current folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.errors import UsageError
from simulator.files import folder_aside, place_all, sweep

MARKER = "sim.toml"

STARTER = (MARKER, "strategies", "config", "data/sample", "data/events.csv", "llm_cache/cassettes")

GITIGNORE = """\
__pycache__/
/reports/
/llm_cache/*
!/llm_cache/cassettes/
/data/*
!/data/sample/
!/data/events.csv
/sim.db*
/logs/
/forward.stop
/forward.pause
/web.tokens
.env
"""

README = """\
# A workspace of `sim`
`strategies/` and `config/` are yours to edit; `data/` holds the sample, fetched bars and your own CSV or Parquet files.
`sim run --from 2024-01-01 --symbols SPY,QQQ` replays the council into `reports/`; `sim runs` lists what was run.
`llm_cache/` keeps every answer that was paid for: back it up. `sim cache export` makes shareable copies of them.
`sim doctor` tells what is missing here; `sim --help` lists the commands.
"""


@dataclass(frozen=True)
class Workspace:
    """`root` is read from, `out` is written to. They differ only where no workspace was found."""

    root: Path
    out: Path
    bars: Path | None = None
    """Folder whose bars come before all others, for one run."""

    @property
    def strategies(self) -> Path:
        return self.root / "strategies"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def data(self) -> Path:
        """Folder of downloaded bars."""
        return self.out / "data"

    @property
    def bar_folders(self) -> tuple[Path, ...]:
        """Folders searched for bars, in this order: the run's own, downloaded ones, then the shipped sample."""
        own = () if self.bars is None else (self.bars,)
        return tuple(dict.fromkeys((*own, self.data, self.root / "data", self.root / "data" / "sample")))

    def reading(self, bars: str | None) -> Workspace:
        """Return the workspace with the bars of that folder before all others; a relative path is sought in it first.

        Raises UsageError where there is no such folder.
        """
        if bars is None:
            return self
        path = Path(bars).expanduser()
        for folder in (self.out / path, current_folder() / path):
            if folder.is_dir():
                return replace(self, bars=folder)
        raise UsageError(f"no folder {bars}", mend="--bars names a folder with SYMBOL.csv or SYMBOL.parquet")

    @property
    def events(self) -> Path:
        return self.root / "data" / "events.csv"

    @property
    def news(self) -> Path:
        """Dated headlines, one's own: CSV and JSONL files."""
        return self.root / "data" / "news"

    @property
    def cache(self) -> Path:
        return self.out / "llm_cache"

    @property
    def cassettes(self) -> Path:
        """Exported answers that are shared with the workspace."""
        return self.root / "llm_cache" / "cassettes"

    @property
    def reports(self) -> Path:
        return self.out / "reports"

    @property
    def logs(self) -> Path:
        """Folder of the log and the heartbeats of forward trading."""
        return self.out / "logs" / "forward"

    @property
    def registry(self) -> Path:
        return self.out / "sim.db"


def shipped() -> Path:
    """Starter files: inside the installed package, or the repository itself in an editable install."""
    packaged = Path(__file__).parent / "_workspace"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent


def find_workspace(given: str | os.PathLike[str] | None = None, start: Path | None = None) -> Workspace:
    """The workspace named by `given` or SIM_WORKSPACE, else the nearest above `start` (the current folder).

    Raises UsageError when a named folder has no ``sim.toml``.
    """
    named = given or os.environ.get("SIM_WORKSPACE")
    if named:
        folder = refuse_unreadable_name(Path(named).expanduser().resolve())
        if not (folder / MARKER).is_file():
            raise UsageError(f"no {MARKER} in {folder}", mend=f"`sim init {named}` makes a workspace there")
        return Workspace(folder, folder)
    here = refuse_unreadable_name((start or current_folder()).resolve())
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return Workspace(folder, folder)
    return Workspace(shipped(), here)


def current_folder() -> Path:
    """Return the folder the command was started in. Raises UsageError where somebody has deleted it since."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder is gone", mend="`cd` into one that is there") from None


def refuse_unreadable_name(folder: Path) -> Path:
    """Return `folder`. Raises UsageError for a name that is not UTF-8: Parquet files cannot be opened there."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        found = f"the name of the folder {os.fsencode(folder)!r} is not UTF-8"
        raise UsageError(found, mend="rename it or work in another") from None
    return folder


def make_workspace(folder: Path, git: bool = True) -> list[str]:
    """Give `folder` every starter file it lacks; returns their paths, sorted, relative to it.

    The files are written to a hidden folder on the same disk and only then moved into place, the marker last: a full
    disk or a kill leaves `folder` as it was, or the next `sim init` finishes it. Existing files are never touched.
    Raises OSError as the disk says.
    """
    with _staging(folder) as stage:
        added = _write_starter(stage, folder)
        if git and not (folder / ".git").exists():
            _git_init(stage)
        if folder.is_dir():
            place_all(folder, _moves(stage, folder))
        else:
            os.rename(stage, folder)
    return added


def finish_workspace(folder: Path) -> bool:
    """Sweep away what a killed `make_workspace` left of `folder`; True where it had begun to move files, and all are
    there now."""
    sweep(folder.parent, folder.name)
    return sweep(folder)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A hidden empty folder inside `folder`, or beside it while it does not exist. Nothing of it outlives a failure."""
    parent = folder if folder.is_dir() else folder.parent
    ancestor = next((p for p in (*reversed(parent.parents), parent) if not p.exists()), None)
    whole = False
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(parent / folder.name) as stage:
            yield stage
        whole = True
    finally:
        if ancestor is not None and not whole:
            shutil.rmtree(ancestor, ignore_errors=True)


def _write_starter(stage: Path, folder: Path) -> list[str]:
    source = shipped()
    contents = {
        path.relative_to(source).as_posix(): path.read_bytes() for name in STARTER for path in _files(source / name)
    }
    contents |= {".gitignore": GITIGNORE.encode(), "README.md": README.encode()}
    added = sorted(name for name in contents if not os.path.lexists(folder / name))
    for name in added:
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_bytes(contents[name])
    return added


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _git_init(stage: Path) -> None:
    # Inside a hook of another repository GIT_DIR would make git work there.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if shutil.which("git"):
        made = subprocess.run(["git", "init", "--quiet", str(stage)], env=clean, capture_output=True, check=False)
        if made.returncode:
            shutil.rmtree(stage / ".git", ignore_errors=True)


def _moves(stage: Path, folder: Path) -> list[tuple[Path, Path]]:
    """List what `stage` holds with its place in `folder`, whole subtrees where nothing is in their way, MARKER last."""
    moves: list[tuple[Path, Path]] = []
    for path in sorted(stage.rglob("*"), key=lambda path: (path.name == MARKER, path)):
        target = folder / path.relative_to(stage)
        if not os.path.lexists(target) and not any(target.is_relative_to(moved) for _, moved in moves):
            moves.append((path, target))
    return moves
