"""What README and docs/tour.md tell people to type is typed here."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import simulator
from simulator.cli import COMMANDS

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

README = Path(simulator.__file__).parent.parent / "README.md"
TOUR = README.parent / "docs" / "tour.md"

pytestmark = [pytest.mark.medium, pytest.mark.skipif(not README.exists(), reason="needs a checkout to read")]


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("sim ")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for all commands, in their order: later ones rest on what earlier ones made."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("readme") / "workspace"
    make_workspace(folder, git=False)
    for block in blocks("python"):
        path, _, text = block.partition("\n")
        if path.startswith("# strategies/"):
            (folder / path.removeprefix("# ")).write_text(text)
    return folder


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_readme_works(words: list[str], lab: Path, sim: Sim) -> None:
    done = sim(*words, cwd=lab)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_commands_of_the_tour_print_what_it_shows(lab: Path, sim: Sim) -> None:
    printed = ""
    for kind, block in re.findall(r"^```(console|text)\n(.*?)^```", TOUR.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        if kind == "console":
            done = [sim(*shlex.split(line)[1:], cwd=lab, env={"COLUMNS": "100"}) for line in lines]
            assert [one.stderr for one in done if one.returncode] == []
            printed += "".join(one.stdout for one in done)
        else:
            words = " ".join(printed.split())
            assert [line for line in lines if " ".join(line.split()) not in words] == []


def test_the_python_example_of_the_readme_works(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    examples = [block for block in blocks("python") if not block.startswith("# strategies/")]
    assert examples
    for example in examples:
        exec(compile(example, str(README), "exec"), {})


def test_the_readme_lists_the_commands_there_are() -> None:
    listed = re.findall(r"^\| `sim (\w+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == list(COMMANDS)


def test_the_readme_begins_with_the_two_commands() -> None:
    first = README.read_text(encoding="utf-8").splitlines()[:6]
    assert [line.split("  ")[0] for line in first if line.startswith("make")] == ["make run", "make test"]


def test_files_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
