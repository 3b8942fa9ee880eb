"""What the shell offers after Tab: names of files and folders, and the dates on which a run decided."""

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


def complete_decision(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Sessions on which the run named before decided something; ``YYYY-MM`` first where there are many."""
    lines = _lines(ctx, "decisions.jsonl")
    dates = {line.partition('"session":"')[2][:10] for line in lines} - {""}
    found = _starting(dates, incomplete)
    months = sorted({day[:7] for day in found})
    return months if len(months) > 1 and len(incomplete) < len("2024-01") else found


def complete_account(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Accounts of the run named before."""
    folder = _run_folder(ctx)
    return _starting([path.name for path in _entries(folder / "accounts")] if folder else (), incomplete.upper())


def _lines(ctx: click.Context, name: str) -> list[str]:
    """Beginnings of the lines of a file of the run."""
    folder = _run_folder(ctx)
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return []
    return [line[:200] for line in path.read_text(encoding="utf-8").splitlines()]


def _run_folder(ctx: click.Context) -> Path | None:
    from simulator.errors import SimError
    from simulator.store.folders import find_run

    # An option that still lacks its value keeps click from telling which run was named: the last one stands for it.
    workspace, run = _workspace(ctx), ctx.params.get("run") or "last"
    try:
        return find_run(workspace.reports, str(run)) if workspace else None
    except SimError:
        return None


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
