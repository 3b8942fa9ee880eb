from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from simulator import cli
from simulator.cli import COMMANDS, Entry, main

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

LOADED_BY_HELP = """
import sys
before = set(sys.modules)
from simulator.cli import sim
try:
    sim.main(["--help"], standalone_mode=False)
finally:
    roots = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
    print(sorted(roots))
    print(sorted(name for name in sys.modules if name.startswith("simulator")))
"""


def test_help_imports_nothing_but_click(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_HELP], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    third_party, own = done.stdout.splitlines()[-2:]
    assert third_party == "['click', 'simulator']"
    assert own == "['simulator', 'simulator.cli']"


def test_help_shows_every_command_on_one_line_under_its_group(sim: Sim) -> None:
    shown = sim("--help").stdout
    assert shown == sim("-h").stdout
    for group in {entry.group for entry in COMMANDS.values()}:
        assert f"\n{group}:\n" in shown
    lines = shown.splitlines()
    for name, entry in COMMANDS.items():
        assert [line for line in lines if line.split()[:1] == [name]] == [f"  {name:<10}  {entry.help}"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_is_shown_before_it_exists(name: str) -> None:
    module, _, attribute = COMMANDS[name].where.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_helps_even_where_the_named_workspace_does_not_exist(name: str, sim: Sim) -> None:
    done = sim(name, "--help", env={"SIM_WORKSPACE": "/nowhere"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: sim {name}")


def test_a_command_shows_at_most_eight_options_under_one_heading_and_eleven_in_all() -> None:
    for name, entry in COMMANDS.items():
        module, _, attribute = entry.where.partition(":")
        command = getattr(import_module(module), attribute)
        for part in (command, *getattr(command, "commands", {}).values()):
            shown = part.get_help(click.Context(part)).replace("-h, --help", "--help")
            headings = [text for text in shown.split("\n\n") if re.search(r"^  --", text, re.MULTILINE)]
            options = [len(re.findall(r"^  --(?!help)", text, re.MULTILINE)) for text in headings]
            assert max(options, default=0) <= 8, f"{name} {part.name}"
            assert sum(options) <= 11, f"{name} {part.name}"


def test_sim_without_a_command_shows_help_and_is_a_usage_error(sim: Sim) -> None:
    done = sim()
    assert done.returncode == 2
    assert done.stderr == sim("--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], 'no command "rum", did you mean "run"?'),
        (["--versoin"], "'--version'"),
        (["init"], "missing argument"),
        (["init", "--add-mising", "x"], "'--add-missing'"),
        (["completion", "tcsh"], "'tcsh'"),
        (["--workspace", "nowhere", "runs"], "`sim init nowhere` makes a workspace there"),
        (["runs", "--workspace=nowhere"], "`sim init nowhere` makes a workspace there"),
    ],
)
def test_a_slip_of_the_keyboard_gets_one_line_and_exit_code_2(words: list[str], said: str, sim: Sim) -> None:
    done = sim(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sim: error: ")
    assert said in done.stderr


def test_sim_debug_shows_where_an_error_came_from(sim: Sim) -> None:
    done = sim("--workspace", "nowhere", "runs", env={"SIM_DEBUG": "1"})
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sim: error: no sim.toml")


def test_version_names_sim_and_python(sim: Sim) -> None:
    from simulator import __version__

    assert sim("--version").stdout.startswith(f"sim {__version__}, Python 3.")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "--help"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert done.stderr == b""


@pytest.mark.medium
@pytest.mark.fault("machine", "the reader of a table leaves early (`| head -1`)", "a silent end; a run stays recorded")
def test_a_reader_that_leaves_early_is_not_blamed_on_a_strategy(workspace: Path) -> None:
    chatty = "from simulator.rules import Rule\nprint('x' * 9_999_999)\nclass Chatty(Rule):\n    pass\n"
    (workspace / "strategies" / "chatty.py").write_text(chatty)
    (workspace / "returns.csv").write_text("date,a\n2024-01-02,0.01\n2024-01-03,0.02\n2024-01-04,-0.01\n")
    run = ("run", "--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-01-31", "--strategy")
    for words in ((*run, "sma_cross"), ("explain", "last"), ("runs",), ("stats", "returns.csv"), (*run, "chatty")):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "simulator", *words],
            cwd=workspace,
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (1, b""), words
    assert len(list(workspace.glob("reports/*/run.json"))) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "simulator", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "sim: error: disk is full; free some space and repeat the command\n"


FAILURES = """
import sqlite3
import click
from simulator.errors import AuditError, BrokerError, BudgetError, DataError

RAISED = {
    "interrupt": KeyboardInterrupt(),
    "budget": BudgetError("the budget of 1 USD is spent"),
    "broker": BrokerError("Alpaca cannot be reached"),
    "audit": AuditError("the engines differ"),
    "group": ExceptionGroup("tasks", [DataError("no bars", where="ACME 2024-01-02")]),
    "denied": PermissionError(13, "Permission denied", "/some/where"),
    "full": OSError(28, "No space left on device"),
    "bug": ZeroDivisionError("division by zero"),
}

@click.command()
@click.argument("kind")
def fail(kind):
    if kind == "database":
        try:
            sqlite3.connect("/nowhere/at/all").execute("select 1")
        except sqlite3.OperationalError as error:
            raise RuntimeError("wrapped") from error
    if kind == "code":
        click.get_current_context().exit(7)
    if kind in RAISED:
        raise RAISED[kind]
    return 5
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_command.py").write_text(FAILURES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "fail", Entry("house", "failing_command:fail", "Fail.", False))


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("interrupt", 130, "sim: interrupted"),
        ("budget", 4, "sim: error: the budget of 1 USD is spent"),
        ("broker", 5, "sim: error: Alpaca cannot be reached"),
        ("audit", 1, "sim: error: the engines differ"),
        ("group", 3, "sim: error: ACME 2024-01-02: no bars"),
        ("denied", 1, "sim: error: permission denied: /some/where; `sim doctor` shows what can be written"),
        ("full", 1, "sim: error: disk is full; free some space and repeat the command"),
        ("database", 1, "sim: error: database: unable to open database file; `sim doctor` shows what can be written"),
        ("code", 7, ""),
        ("nothing", 0, ""),
    ],
)
def test_what_can_go_wrong_has_a_line_and_a_code(
    kind: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fail", kind])
    assert left.value.code == code
    assert capsys.readouterr().err.strip() == said


@pytest.mark.usefixtures("failing")
def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fail", "bug"])
    assert left.value.code == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):\n")
    assert shown.endswith("ZeroDivisionError: division by zero\n")


def test_all_names_of_the_module_exist() -> None:
    assert all(hasattr(cli, name) for name in cli.__all__)
