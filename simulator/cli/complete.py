"""What the shell offers after Tab: names of files and folders, read without opening any of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from simulator.errors import UsageError
from simulator.workspace import Workspace, find_workspace


def complete_strategy(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Folders and ``.py`` files of ``strategies/``, by the name `--strategy` takes."""
    workspace = _workspace(ctx)
    found = _entries(workspace.strategies) if workspace else []
    names = {path.stem if path.suffix == ".py" else path.name for path in found if path.suffix in ("", ".py")}
    return _starting(names, incomplete)


def complete_symbol(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Symbols with a file in ``data/`` or the sample; completes the last of a comma-separated list."""
    before, comma, last = incomplete.rpartition(",")
    workspace = _workspace(ctx)
    found = [path for folder in workspace.bar_folders for path in _entries(folder)] if workspace else []
    names = {path.stem for path in found if path.suffix in (".csv", ".parquet") and path.name != "events.csv"}
    return [f"{before}{comma}{name}" for name in _starting(names - set(before.split(",")), last)]


def complete_cassette(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Exported answers in ``llm_cache/cassettes/``, by name."""
    workspace = _workspace(ctx)
    return _starting({path.stem for path in _entries(workspace.cassettes)} if workspace else (), incomplete)


def complete_run(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Finished run folders of ``reports/``."""
    workspace = _workspace(ctx)
    return _starting({path.name for path in _entries(workspace.reports)} if workspace else (), incomplete)


def _workspace(ctx: click.Context) -> Workspace | None:
    if isinstance(ctx.obj, Workspace):
        return ctx.obj
    try:
        return find_workspace(ctx.find_root().params.get("workspace"))
    except UsageError:
        return None


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name[0] not in "._"] if folder.is_dir() else []


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
