"""What `sim init --mcp` and `--claude` write, and that a client which reads it finds servers, tools and personas."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from simulator.desk.agents.personas import load_personas
from simulator.desk.tools import load_tools

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = {"screen", "analyze-trade", "optimize-entry", "review-performance", "backtest-strategy"}
AGENTS = {"screener-agent", "analyzer-agent", "optimizer-agent", "reviewer-agent", "backtest-agent"}


def front_matter(path: Path) -> tuple[dict[str, str], str]:
    _, head, body = path.read_text().split("---\n", 2)
    return yaml.safe_load(head), body


def names_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_workspace_gets_servers_commands_and_agents_and_nothing_else(workspace: Path, sim: Sim) -> None:
    before = {path for path in workspace.rglob("*") if path.is_file()}
    done = sim("init", workspace, "--claude")
    assert (done.returncode, done.stderr) == (0, "")
    assert names_in(workspace / ".claude/commands/trading") == COMMANDS
    assert names_in(workspace / ".claude/agents/trading") == AGENTS
    servers = json.loads((workspace / ".mcp.json").read_text())["mcpServers"]
    assert [one["args"][-2:] for one in servers.values()] == [
        ["mcp", group] for group in ("market", "position", "risk", "backtest")
    ]
    added = {path for path in workspace.rglob("*") if path.is_file()} - before
    assert len(added) == 11
    assert "lacks nothing" in sim("init", workspace, "--claude").stdout


def test_files_name_tools_that_there_are_and_personas_word_for_word(workspace: Path, sim: Sim) -> None:
    assert sim("init", workspace, "--claude").returncode == 0
    known = {f"mcp__simulator-{tool.group}__{name}" for name, tool in load_tools().items()}
    personas = {one.answer: one for one in load_personas(workspace / "strategies/momentum_desk").values()}
    bodies = []
    for path in sorted((workspace / ".claude").rglob("*.md")):
        head, body = front_matter(path)
        listed = {name for name in re.split(r",\s*", head.get("tools") or head["allowed-tools"]) if "mcp__" in name}
        assert listed <= known, path
        assert "{" not in head["description"]
        bodies.append(body)
        if path.stem in AGENTS:
            assert head["name"] == path.stem
    assert all(any(one.words in body for body in bodies) for one in personas.values())
    mentioned = set(re.findall(r"`((?:get|calculate|scan|check|run|compare|generate|test)_\w+)`", "\n".join(bodies)))
    assert mentioned <= set(load_tools())


def test_what_stands_in_the_files_stays(workspace: Path, sim: Sim) -> None:
    mine = {"mcpServers": {"simulator-risk": {"command": "mine"}, "other": {"url": "x"}}, "more": [1]}
    (workspace / ".mcp.json").write_text(json.dumps(mine))
    command = workspace / ".claude/commands/trading/screen.md"
    command.parent.mkdir(parents=True)
    command.write_text("mine")
    assert sim("init", workspace, "--mcp", "--claude").returncode == 0
    now = json.loads((workspace / ".mcp.json").read_text())
    assert (now["more"], now["mcpServers"]["other"], now["mcpServers"]["simulator-risk"]) == (
        [1],
        {"url": "x"},
        {"command": "mine"},
    )
    assert len(now["mcpServers"]) == 5
    assert command.read_text() == "mine"


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 3}', "\udcff"])
def test_a_file_that_is_no_such_json_is_left_alone_and_named(text: str, workspace: Path, sim: Sim) -> None:
    raw = text.encode("utf-8", "surrogateescape")
    (workspace / ".mcp.json").write_bytes(raw)
    done = sim("init", workspace, "--claude")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert ".mcp.json" in done.stderr
    assert (workspace / ".mcp.json").read_bytes() == raw
    assert not (workspace / ".claude").exists()


def test_personas_of_the_workspace_are_what_agents_say(workspace: Path, sim: Sim) -> None:
    persona = workspace / "strategies/momentum_desk/screener.md"
    persona.write_text(persona.read_text().replace("systematic momentum trader", "patient momentum trader"))
    assert sim("init", workspace, "--claude").returncode == 0
    assert "patient momentum trader" in (workspace / ".claude/agents/trading/screener-agent.md").read_text()


def test_a_new_folder_becomes_a_workspace_with_them(tmp_path: Path, sim: Sim) -> None:
    done = sim("init", "new", "--mcp")
    assert done.returncode == 0
    assert (tmp_path / "new/sim.toml").is_file()
    assert (tmp_path / "new/.mcp.json").is_file()
    assert not (tmp_path / "new/.claude").exists()
