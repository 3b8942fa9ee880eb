"""Where things lie: the folder a researcher works in.

    sim.toml      the marker, found by walking upward as git does
    strategies/   config/   data/   llm_cache/   reports/   sim.db

With no marker in sight the shipped starter files are read and everything written goes to the current folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import UsageError

MARKER = "sim.toml"


@dataclass(frozen=True)
class Workspace:
    """`root` is read from, `out` is written to. They differ only where no workspace was found."""

    root: Path
    out: Path

    @property
    def strategies(self) -> Path:
        return self.root / "strategies"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def data(self) -> Path:
        """Where bars are downloaded to."""
        return self.out / "data"

    @property
    def bar_folders(self) -> tuple[Path, ...]:
        """Where bars are looked for, in this order: downloaded ones, then the shipped sample."""
        return tuple(dict.fromkeys((self.data, self.root / "data", self.root / "data" / "sample")))

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
        folder = Path(named).expanduser().resolve()
        if not (folder / MARKER).is_file():
            raise UsageError(f"no {MARKER} in {folder}", mend=f"`sim init {named}` makes a workspace there")
        return Workspace(folder, folder)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return Workspace(folder, folder)
    return Workspace(shipped(), here)
