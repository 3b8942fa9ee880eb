"""`sim cache` as a person types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from simulator.cli.cache import cache as command
from simulator.errors import CacheCorruptError, UsageError
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.workspace import Workspace

Ask = Callable[..., ChatRequest]
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """``call("stats", "--json")`` in the workspace `tmp_path`; errors come through."""

    def run(*words: str | Path) -> Result:
        place = Workspace(tmp_path, tmp_path)
        return CliRunner().invoke(command, [str(word) for word in words], obj=place, catch_exceptions=False)

    return run


@pytest.fixture
def two(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> tuple[str, str]:
    """Keys of two stored questions that differ in one line."""
    first, second = ask("close 1\nDecide."), replace(ask("close 2\nDecide."), temperature=0.7)
    cache.put(first, yes)
    cache.put(second, ChatResponse("no \ud83d"))
    cache.close()
    return first.key, second.key


@pytest.mark.usefixtures("two")
def test_stats(call: Call, folder: Path) -> None:
    told = call("stats").stdout
    assert f"{folder}: 2 answers" in told
    assert "told/trend" in told
    assert "100 prompt and 10 completion tokens, $0.25 in all" in told
    held = json.loads(call("stats", "--json").stdout)
    assert (held["entries"], held["corrupt"], held["cost_usd"], held["models"]) == (2, 0, 0.25, {"told/trend": 2})


def test_an_empty_cache_is_no_error(call: Call, folder: Path) -> None:
    assert "0 answers" in call("stats").stdout
    assert json.loads(call("verify", "--json").stdout)["entries"] == 0
    assert not folder.exists()


def test_verify_names_what_is_bad_and_repair_moves_it_aside(call: Call, two: tuple[str, str], folder: Path) -> None:
    assert "2 sound, 0 bad" in call("verify").stdout
    with AnswerCache(folder) as cache:
        assert cache.keys()
        assert cache._store is not None
        cache._store.sql("UPDATE Cache SET value = x'00' WHERE key = ?", (two[0],))
    with pytest.raises(CacheCorruptError, match=r"1 bad entries.*sim cache verify --repair"):
        call("verify")
    assert "1  corrupt" in call("stats").stdout
    mended = json.loads(call("verify", "--repair", "--json").stdout)
    assert (mended["entries"], [bad["key"] for bad in mended["bad"]]) == (1, [two[0]])
    assert Path(mended["quarantine"]).is_file()
    assert "1 sound, 0 bad" in call("verify").stdout


def test_show_by_the_beginning_of_a_key(call: Call, two: tuple[str, str]) -> None:
    told = call("show", two[0][:8].upper()).stdout
    assert two[0] in told
    assert "close 1\nDecide." in told
    assert "stage=pitch" in told
    assert json.loads(call("show", two[0], "--json").stdout)["response"]["text"] == "yes"
    assert "no ?" in call("show", two[1]).stdout
    assert json.loads(call("show", two[1], "--json").stdout)["response"]["text"] == "no \ud83d"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("key", ["", "zzzz", "%", "0000000000000000"])
def test_a_key_there_is_not_is_a_usage_error(call: Call, key: str) -> None:
    with pytest.raises(UsageError, match="no key begins with"):
        call("show", key)


def test_a_beginning_that_fits_several_keys_is_a_usage_error(call: Call, cache: AnswerCache, ask: Ask) -> None:
    for i in range(40):
        cache.put(ask(str(i)), ChatResponse("yes"))
    common = next(digit for digit in "0123456789abcdef" if len(cache.keys(digit)) > 1)
    with pytest.raises(UsageError, match=f"keys begin with {common}"):
        call("show", common)


def test_diff_shows_fields_and_lines(call: Call, two: tuple[str, str]) -> None:
    told = call("diff", *two).stdout
    assert 'messages[1].content line 1: "close 1" against "close 2"' in told
    assert "temperature: nothing against 0.7" in told
    assert "-close 1\n+close 2\n" in told
    assert "-yes\n+no ?" in told
    assert "the questions are the same" in call("diff", two[0], two[0]).stdout
    told = json.loads(call("diff", *two, "--json").stdout)
    assert [difference["path"] for difference in told["differences"]] == ["messages[1].content", "temperature"]
    assert told["same_answer"] is False


def test_export_and_import_between_workspaces(call: Call, two: tuple[str, str], tmp_path: Path, folder: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    assert json.loads(call("export", tape, "--json").stdout) == {"file": str(tape), "exported": 2}
    folder.rename(tmp_path / "away")
    assert "2 answers, 2 of them new" in call("import", tape).stdout
    assert json.loads(call("import", tape, "--json").stdout) == {"file": str(tape), "read": 2, "added": 0}
    assert two[0] in call("show", two[0]).stdout


def test_export_of_one_run_takes_only_what_it_used(call: Call, two: tuple[str, str], tmp_path: Path) -> None:
    run = tmp_path / "reports" / "macro_council-2024-01-01-2024-12-31-abc123"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "llm_calls.jsonl").write_text(json.dumps({"key": two[1]}) + "\n")
    assert "1 answers" in call("export", tmp_path / "tape.jsonl", "--run", "abc123").stdout
    assert two[1] in (tmp_path / "tape.jsonl").read_text()
    with pytest.raises(UsageError, match='no run "nope"'):
        call("export", tmp_path / "tape.jsonl", "--run", "nope")


def test_every_command_that_reports_has_json() -> None:
    for name, sub in command.commands.items():
        assert "--json" in {word for option in sub.params for word in option.opts}, name
        assert isinstance(sub, click.Command)


def test_bad_entries_are_exit_code_4_and_one_line_on_stderr(
    workspace: Path, sim: Callable[..., subprocess.CompletedProcess[str]], ask: Ask, yes: ChatResponse
) -> None:
    with AnswerCache(workspace / "llm_cache") as cache:
        cache.put(ask(), yes)
        assert cache._store is not None
        cache._store.sql("UPDATE Cache SET mode = 4")
    done = sim("cache", "verify", "--json", "--workspace", workspace)
    assert done.returncode == 4
    assert json.loads(done.stdout)["bad"][0]["key"] == ask().key
    assert done.stderr.count("\n") == 1
    assert "sim cache verify --repair" in done.stderr
    assert sim("cache", "show", "ffff", cwd=workspace).returncode == 2
