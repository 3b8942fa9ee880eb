"""Completion in the shell: names of files and folders, and the dates on which a run decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from simulator.errors import SimError, UsageError
from simulator.workspace import Workspace, find_workspace

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _offer(names_of: Callable[[Workspace], Iterable[str]]) -> Completer:
    """Return a completer that offers the names a workspace has, or none where there is no workspace."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        workspace = _find_workspace(ctx)
        return _filter_names(names_of(workspace), incomplete) if workspace else []

    return complete


def _list_strategies(workspace: Workspace) -> set[str]:
    found = [path for path in _list_entries(workspace.strategies) if path.suffix in ("", ".py")]
    return {path.stem if path.suffix == ".py" else path.name for path in found}


complete_strategy = _offer(_list_strategies)
"""Folders and ``.py`` files of ``strategies/``, by the name `--strategy` takes."""

complete_cassette = _offer(lambda workspace: {path.stem for path in _list_entries(workspace.cassettes)})
"""Exported answers in ``llm_cache/cassettes/``, by name."""

complete_run = _offer(lambda workspace: {path.name for path in _list_entries(workspace.reports) if path.is_dir()})
"""Finished run folders of ``reports/``."""

complete_loop = _offer(
    lambda workspace: {path.stem.removeprefix("heartbeat-") for path in workspace.logs.glob("heartbeat-*.json")}
)
"""Forward loops that have beaten in the workspace, by the ids of their registrations."""


def complete_symbol(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Symbols with a file in ``data/`` or the sample; completes the last of a comma-separated list."""
    before, comma, last = incomplete.rpartition(",")
    workspace = _find_workspace(ctx)
    found = [path for folder in workspace.bar_folders for path in _list_entries(folder)] if workspace else []
    names = {path.stem for path in found if path.suffix in (".csv", ".parquet") and path.name != "events.csv"}
    return [f"{before}{comma}{name}" for name in _filter_names(names - set(before.split(",")), last)]


def complete_parameter(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """``fast=``, ``costs.slippage_bps=`` …: parameters of the strategy named before, and keys of ``config/``."""
    from simulator.config import CONFIG_FILES, SETTABLE
    from simulator.rules import RuleStrategy
    from simulator.rules.exits import NAMES
    from simulator.runs.strategies import load_strategy

    names = [f"{file}.{key}" for file in SETTABLE for key in CONFIG_FILES[file].model_fields]
    workspace, strategy = _find_workspace(ctx), ctx.params.get("strategy")
    if workspace is not None and strategy:
        try:
            found = load_strategy(strategy, workspace.strategies).strategy
            names += [*found.rule.parameters(), *NAMES] if isinstance(found, RuleStrategy) else []
        except SimError:
            pass
    return [f"{name}=" for name in _filter_names(names, incomplete)]


def complete_decision(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Sessions on which the run named before decided something; ``YYYY-MM`` first where there are many."""
    folder = _find_run_folder(ctx)
    path = folder / "decisions.jsonl" if folder else None
    # The date stands at the beginning of a line, which may be long.
    lines = [line[:200] for line in path.read_text(encoding="utf-8").splitlines()] if path and path.is_file() else []
    found = _filter_names({line.partition('"session":"')[2][:10] for line in lines} - {""}, incomplete)
    months = sorted({day[:7] for day in found})
    return months if len(months) > 1 and len(incomplete) < len("2024-01") else found


def complete_topic(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of numbers, and the dates as `complete_decision` has them."""
    from simulator.report.catalogue import METRICS

    dates = [] if incomplete[:1].isalpha() else complete_decision(ctx, param, incomplete)
    return [*dates, *_filter_names(METRICS, incomplete.lower())]


def complete_symbol_of_run(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Symbols of the run named before: the columns of its weights."""
    folder = _find_run_folder(ctx)
    path = folder / "weights.csv" if folder else None
    if path is None or not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return _filter_names(lines.readline().strip().split(",")[1:], incomplete.upper())


def complete_account(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Accounts of the run named before, and the benchmarks its numbers are held against."""
    folder = _find_run_folder(ctx)
    if folder is None:
        return []
    accounts = _filter_names([path.name for path in _list_entries(folder / "accounts")], incomplete.upper())
    return [*accounts, *_filter_names(("buy_and_hold", "equal_weight", "exposure_matched"), incomplete)]


def _find_run_folder(ctx: click.Context) -> Path | None:
    from simulator.store.folders import find_last, find_run

    # An option that still lacks its value keeps click from telling which run was named: the last one stands for it.
    workspace, run = _find_workspace(ctx), ctx.params.get("run") or "last"
    try:
        if workspace is None:
            return None
        return find_last(workspace.reports)[0] if run == "last" else find_run(workspace.reports, str(run))
    except SimError:
        return None


def _find_workspace(ctx: click.Context) -> Workspace | None:
    if isinstance(ctx.obj, Workspace):
        return ctx.obj
    try:
        return find_workspace(ctx.find_root().params.get("workspace"))
    except UsageError:
        return None


def _list_entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name[0] not in "._"] if folder.is_dir() else []


def _filter_names(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
