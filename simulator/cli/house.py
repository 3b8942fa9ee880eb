"""Commands about the place rather than the work: `sim init`, `sim doctor`, `sim completion`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from simulator.errors import SimError, UsageError
from simulator.workspace import MARKER, shipped

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
.env
"""

README = """\
# A workspace of `sim`
`strategies/` and `config/` are yours to edit; `data/` holds the sample, fetched bars and your own CSV or Parquet files.
`sim run --from 2024-01-01 --symbols SPY,QQQ` replays the council into `reports/`; `sim runs` lists what was run.
`llm_cache/` keeps every answer that was paid for: back it up. `sim cache export` makes shareable copies of them.
`sim doctor` tells what is missing here; `sim --help` lists the commands.
"""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--add-missing", is_flag=True, help="Add what a folder that is not empty lacks; overwrites nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def init(folder: Path, add_missing: bool, as_json: bool) -> None:
    """Make a workspace in DIR: strategies, config and sample bars to start from.

    All of it appears, or nothing does. An empty or new DIR becomes a git repository of its own where git is installed.
    """
    folder = folder.absolute()
    held = _contents(folder)
    if held - {".git"} and not add_missing:
        raise UsageError(
            "the folder is not empty", where=str(folder), mend=f"`sim init --add-missing {folder}` overwrites nothing"
        )
    try:
        added = make_workspace(folder, git=not held)
    except OSError as error:
        mend = "free some space or name another folder"
        raise SimError(f"cannot be made a workspace ({error.strerror})", where=str(folder), mend=mend) from error
    if as_json:
        click.echo(json.dumps({"workspace": str(folder), "added": added}))
    elif not added:
        click.echo(f"{folder} lacks nothing.")
    else:
        what = f"added {', '.join(added)}" if add_missing and held else "workspace made"
        click.echo(f"{folder}: {what}\nNext: cd {folder} && sim run --from 2024-01-01 --symbols SPY,QQQ")


def _contents(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise UsageError("is not a folder", where=str(folder), mend="name another one") from None


def make_workspace(folder: Path, git: bool = True) -> list[str]:
    """Give `folder` every starter file it lacks; returns their paths, sorted, relative to it.

    The files are written to a hidden folder on the same disk and only then moved into place, so that a full disk or
    a kill leaves `folder` as it was. Existing files are never touched. Raises OSError as the disk says.
    """
    with _staging(folder) as stage:
        added = _write_starter(stage, folder)
        if git and not (folder / ".git").exists():
            _git_init(stage)
        if folder.is_dir():
            _move_into(stage, folder)
        else:
            os.rename(stage, folder)
    return added


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A hidden empty folder inside `folder`, or beside it while it does not exist. Nothing of it outlives a failure."""
    parent = folder if folder.is_dir() else folder.parent
    ancestor = next((p for p in (*reversed(parent.parents), parent) if not p.exists()), None)
    stage = parent / f".{folder.name}.init-{os.getpid()}"
    whole = False
    try:
        stage.mkdir(parents=True)
        yield stage
        whole = True
    finally:
        shutil.rmtree(stage, ignore_errors=True)
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


def _move_into(stage: Path, folder: Path) -> None:
    """Move what `stage` holds to the same place in `folder`, a whole subtree at once where nothing is in its way."""
    moved: list[Path] = []
    try:
        for path in sorted(stage.rglob("*")):
            target = folder / path.relative_to(stage)
            if path.exists() and not os.path.lexists(target):
                os.rename(path, target)
                moved.append(target)
    except BaseException:
        for target in moved:
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        raise


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check what a run needs; every line that is broken says what mends it. Exit code 1 when one is."""
    from simulator.cli.checkup import examine

    findings = examine(ctx.find_root().params["workspace"])
    broken = any(finding.state == "broken" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not broken, "findings": [finding._asdict() for finding in findings]}))
    for finding in [] if as_json else findings:
        mend = f"; {finding.mend}" if finding.mend else ""
        click.echo(f"{finding.state:<8}{finding.what:<14}{finding.found}{mend}")
    ctx.exit(1 if broken else 0)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; its last line says how to install it."""
    from click.shell_completion import get_completion_class

    from simulator.cli import sim

    kind = get_completion_class(shell)
    if kind is None:
        raise SimError(f"click knows no completion for {shell}")
    click.echo(kind(sim, {}, "sim", "_SIM_COMPLETE").source().rstrip())
    click.echo(f"# To install: {INSTALL_COMPLETION[shell]}")


INSTALL_COMPLETION = {
    "bash": 'add `eval "$(sim completion bash)"` to ~/.bashrc',
    "zsh": 'add `eval "$(sim completion zsh)"` to ~/.zshrc, after compinit',
    "fish": "sim completion fish > ~/.config/fish/completions/sim.fish",
}
