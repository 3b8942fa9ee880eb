"""`sim init DIR`: make a workspace."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from simulator.cli.options import AS_JSON
from simulator.errors import SimError, UsageError
from simulator.printing import say
from simulator.workspace import (
    MARKER,
    Workspace,
    current_folder,
    find_workspace,
    finish_workspace,
    make_workspace,
    refuse_unreadable_name,
)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--add-missing", is_flag=True, help="Add what a folder that is not empty lacks; overwrites nothing.")
@click.option("--mcp", "servers", is_flag=True, help="Name the servers of `sim mcp` in .mcp.json, a workspace's too.")
@click.option("--claude", is_flag=True, help="The same, with the desk's commands and agents for Claude Code.")
@AS_JSON
def init(folder: Path, add_missing: bool, servers: bool, claude: bool, as_json: bool) -> None:
    """Make a workspace in DIR: strategies, config and sample bars to start from.

    All of it appears, or nothing does. An empty or new DIR becomes a git repository of its own where git is installed.
    With --mcp or --claude a workspace gets those files alone, and what stands in them stays.
    """
    folder = refuse_unreadable_name(current_folder() / folder)
    finished = finish_workspace(folder)
    held = _list_contents(folder)
    only_clients = MARKER in held and (servers or claude) and not add_missing
    if held - {".git"} and not add_missing and not finished and not only_clients:
        raise UsageError(
            "the folder is not empty", where=str(folder), mend=f"`sim init --add-missing {folder}` overwrites nothing"
        )
    try:
        added = [] if only_clients else make_workspace(folder, git=not held)
    except OSError as error:
        mend = "free some space or name another folder"
        raise SimError(f"cannot be made a workspace ({error.strerror})", where=str(folder), mend=mend) from error
    added += _add_client_files(folder, claude) if servers or claude else []
    other, note = _find_other_workspace(folder)
    if as_json:
        say(json.dumps({"workspace": str(folder), "added": added, "other_workspace": other and str(other)}))
    elif not added:
        say(f"{folder} lacks nothing.")
    else:
        what = f"added {', '.join(added)}" if (add_missing and held) or only_clients else "workspace made"
        following = "claude" if claude else "sim run --from 2024-01-01 --symbols SPY,QQQ"
        say(f"{folder}: {what}\nNext: cd {folder} && {following}")
        if ".mcp.json" in added:
            say(
                "The servers position, risk and backtest see an empty account: for that of a run add "
                '"--run", "last" (or its id) to their args in .mcp.json.'
            )
    if note and not as_json:
        say(note)


def _add_client_files(folder: Path, claude: bool) -> list[str]:
    """Return the paths of what was added."""
    from simulator.mcp.client_files import MCP_FILE, add_claude_files, add_servers

    named = [MCP_FILE] if add_servers(folder) else []
    return named + (add_claude_files(Workspace(folder, folder)) if claude else [])


def _find_other_workspace(folder: Path) -> tuple[Path | None, str]:
    """Return the workspace that commands may take instead of the one in `folder`, and where they do."""
    if named := os.environ.get("SIM_WORKSPACE"):
        other = (current_folder() / Path(named).expanduser()).resolve()
        note = (
            f"SIM_WORKSPACE is set: commands work in {other} wherever they are typed; `unset SIM_WORKSPACE` ends that"
        )
        return (None, "") if other == folder.resolve() else (other, note)
    for start in (current_folder(), folder.parent):
        other = find_workspace(start=start).root
        if other != folder.resolve() and start.resolve().is_relative_to(other) and (other / MARKER).is_file():
            return other, f"Commands typed in {folder} work there, elsewhere in {other} they work in that workspace"
    return None, ""


def _list_contents(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise UsageError("is not a folder", where=str(folder), mend="name another one") from None
