"""Compiled templates are taken from disk while they are those of their source, and cost nothing but time where not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator import template_code
from simulator.council import prompt_files
from simulator.council.prompt_files import Prompt, load_prompt
from simulator.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder code may lie in."""
    folder = tmp_path / "code"
    monkeypatch.setattr(template_code, "_folders", lambda: iter([folder]))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    return folder


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sources that were compiled since."""
    found: list[str] = []
    compile_one = prompt_files._compile
    monkeypatch.setattr(
        prompt_files, "_compile", lambda source, *rest: found.append(source) or compile_one(source, *rest)
    )
    return found


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Prompt]:
    def load(text: str) -> Prompt:
        (tmp_path / "persona.md").write_text(text)
        return load_prompt(tmp_path / "persona.md", "persona")

    return load


def test_a_prompt_is_compiled_once_and_each_wording_anew(
    folder: Path, compiled: list[str], load: Callable[[str], Prompt]
) -> None:
    for text in ("You trade {{ symbols[0] }}.", "You trade {{ symbols[0] }}.", "You hold {{ symbols[0] }}."):
        assert load(text).render(symbols=("SPY",)) == text.replace("{{ symbols[0] }}", "SPY")
    assert len(compiled) == len(list(folder.iterdir())) == 2


def test_what_is_refused_is_refused_each_time(folder: Path, load: Callable[[str], Prompt]) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match="unknown variable"):
            load("You trade {{ symbol }}.")
    assert not folder.exists()


@pytest.mark.fault("disk", "kept code of a template is cut, damaged or a folder", "the template is compiled again")
def test_damaged_code_is_compiled_again(folder: Path, compiled: list[str], load: Callable[[str], Prompt]) -> None:
    load("A")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[:-1] + b"?", b"no code"):
        path.write_bytes(content)
        assert load("A").render() == "A"
        assert path.read_bytes() == whole
    path.unlink()
    path.mkdir()
    assert load("A").render() == "A"
    assert len(compiled) == 6


def test_where_nothing_may_be_written_nothing_is(
    folder: Path, compiled: list[str], load: Callable[[str], Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("a file stands in the way")
    assert load("A").render() == load("A").render() == "A"
    folder.unlink()
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    load("A")
    assert not folder.exists()
    assert len(compiled) == 3


def test_old_wordings_go(folder: Path, load: Callable[[str], Prompt], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_code, "MOST", 3)
    for n in range(5):
        load(f"Wording {n}")
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_folder_that_others_may_write_to_is_not_trusted(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tmp_path.chmod(mode)
    found = tmp_path / "council-simulator" in template_code._folders()
    assert found is (mode == 0o755 and tmp_path.stat().st_uid in (0, os.geteuid()))
