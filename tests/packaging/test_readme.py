"""What README and docs/tour.md tell people to type is typed here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.cli import COMMANDS
from simulator.workspace import make_workspace

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
Build = Callable[[Path, str], Path]
Environment = Callable[[Path, Path], Path]

README = Path(simulator.__file__).parent.parent / "README.md"
TOUR = README.parent / "docs" / "tour.md"

pytestmark = [pytest.mark.medium, pytest.mark.skipif(not README.exists(), reason="needs a checkout to read")]


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def lab(build: Build, environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for all blocks, in their order: later ones rest on what earlier ones made.

    Its .venv holds what ``pip install -e .`` brings and no extra: the one that BARE_VENV names, or one that is made.
    """
    folder = tmp_path_factory.mktemp("readme") / "workspace"
    make_workspace(folder, git=False)
    given = os.environ.get("BARE_VENV")
    made = Path(given) if given else environment(folder.parent / "venv", build(folder.parent, "editable"))
    (folder / ".venv").symlink_to(made)
    for block in blocks("python"):
        path, _, text = block.partition("\n")
        if path.startswith("# strategies/"):
            (folder / path.removeprefix("# ")).write_text(text)
    return folder


def in_shell(lab: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What a person sees who types these lines into a shell in which the first block of the page was typed."""
    without = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = ["bash", "-euo", "pipefail", "-c", f". .venv/bin/activate\n{script}"]
    return subprocess.run(
        words, cwd=lab, env={**without, **more}, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.partition("\n")[0][:50])
def test_a_block_of_the_readme_runs_as_printed_where_there_are_no_extras(block: str, lab: Path) -> None:
    lines = block.splitlines()
    for check in (line for line in lines if line.startswith("sim check")):
        # In a workspace whose only council is two months long: a year's takes a quarter of a minute more.
        make_workspace(short := lab.parent / "short", git=False)
        (short / ".venv").symlink_to(lab / ".venv")
        done = in_shell(short, f"sim run --from 2024-04-01 --to 2024-05-31 --symbols SPY,QQQ\n{check}")
        assert done.returncode == 0, done.stderr
    block = "\n".join(line for line in lines if not line.startswith("sim check"))
    done = in_shell(lab, block)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or block.startswith(". ")


def test_models_are_asked_as_the_readme_has_it_typed(lab: Path, serve: Callable[..., Any]) -> None:
    """A service on this machine stands in for the one of the profile, which the packaged prices know by its address."""
    (block,) = (block for block in blocks("sh") if "--models" in block)
    service = serve("--latency", 0.001)
    models = lab / "config" / "models.yaml"
    text = models.read_text().replace("https://router.requesty.ai/v1", service.url)
    listed = ("anthropic/claude-sonnet-4-5", "anthropic/claude-opus-4-5")
    prices = "".join(f"  {name}: {{input: 1, output: 1, cutoff: 2024-01}}\n" for name in listed)
    models.write_text(text.replace("\nprices:\n", f"\nprices:\n{prices}"))
    done = in_shell(lab, block, REQUESTY_API_KEY="a-key-of-a-test")
    assert done.returncode == 0, done.stderr
    assert service.stats()["answered"] > 100
    assert "--cache replay" in block.splitlines()[-1]


def test_there_are_no_extras_where_blocks_of_the_readme_are_typed(lab: Path) -> None:
    code = "from importlib.util import find_spec as f; print(*filter(f, ['pytest', 'yfinance', 'psycopg', 'openai']))"
    assert in_shell(lab, f'python -c "{code}"').stdout == "openai\n"


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


def test_the_python_example_of_the_readme_works(lab: Path) -> None:
    (example,) = [block for block in blocks("python") if not block.startswith("# strategies/")]
    (lab / "example.py").write_text(example)
    done = in_shell(lab, "python example.py")
    assert done.returncode == 0, done.stderr
    assert "momentum_12_1" in done.stdout
    assert (lab / "run.png").stat().st_size > 10_000


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
