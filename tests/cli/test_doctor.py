from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from simulator.cli import doctor_checks, main

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
Doctor = Callable[..., tuple[int, dict[str, list[dict[str, str]]]]]


@pytest.fixture
def doctor(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """``doctor(NAME=value)``: exit code of ``sim doctor --json`` in the workspace, and its findings by name."""

    def examine(**environment: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
        monkeypatch.chdir(workspace)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            main(["doctor", "--json"])
        answer = json.loads(capsys.readouterr().out)
        assert answer["ok"] == (left.value.code == 0)
        found: dict[str, list[dict[str, str]]] = {}
        for finding in answer["findings"]:
            assert finding["state"] != "broken" or finding["mend"]
            found.setdefault(finding["what"], []).append(finding)
        return int(left.value.code or 0), found

    return examine


def test_a_fresh_workspace_is_healthy(workspace: Path, doctor: Doctor) -> None:
    code, found = doctor()
    assert code == 0
    assert "numpy" in found["packages"][0]["found"]
    assert "SPY 2015-01-02 to 2025-12-30" in found["bars"][0]["found"]
    assert str(workspace) in found["workspace"][0]["found"]
    assert [finding["state"] for finding in found["write access"]] == ["ok", "ok"]


def test_doctor_writes_nothing_and_never_shows_a_key(workspace: Path, sim: Sim) -> None:
    before = sorted(workspace.rglob("*"))
    secret = "do-not-print-this"
    done = sim("doctor", cwd=workspace, env={"ALPACA_API_KEY": secret, "ALPACA_PAPER_KEY_COUNCIL": secret})
    assert done.returncode == 0
    assert sorted(workspace.rglob("*")) == before
    assert "ALPACA_API_KEY, ALPACA_PAPER_KEY_COUNCIL" in done.stdout
    assert "ALPACA_SECRET_KEY, " in done.stdout
    assert " not set; " in done.stdout
    assert secret not in done.stdout + done.stderr


def break_config(workspace: Path) -> None:
    (workspace / "config" / "risk.yaml").write_text("max_wieght: 1\n")


def break_bars(workspace: Path) -> None:
    (workspace / "data" / "ACME.csv").write_text("Date,Open\n")


def remove_bars(workspace: Path) -> None:
    for path in (workspace / "data" / "sample").iterdir():
        path.unlink()


def break_cache(workspace: Path) -> None:
    (workspace / "llm_cache" / "cache.db").write_bytes(b"rubbish" * 1000)


def block_reports(workspace: Path) -> None:
    (workspace / "reports").write_text("a file")


def test_every_requirement_is_understood() -> None:
    from packaging.requirements import Requirement

    for line in metadata.requires(doctor_checks.DISTRIBUTION) or []:
        understood, meant = doctor_checks.REQUIREMENT.match(line), Requirement(line)
        assert understood
        assert understood["name"] == meant.name
        assert f"{understood['sign'] or ''}{understood['version'] or ''}" == str(meant.specifier)
        assert bool(understood["extra"]) == bool(meant.marker)


@pytest.mark.parametrize(
    ("damage", "what", "said", "mend"),
    [
        (break_config, "config", 'did you mean "max_weight"?', "correct"),
        (break_bars, "bars", "ACME", "`sim data check`"),
        (remove_bars, "bars", "none in", "`sim init --add-missing"),
        (break_cache, "LLM cache", "", "`sim cache verify --repair`"),
        (block_reports, "write access", "not a directory", "--workspace"),
    ],
)
def test_what_is_broken_is_named_with_what_mends_it(
    damage: Callable[[Path], None], what: str, said: str, mend: str, workspace: Path, doctor: Doctor
) -> None:
    damage(workspace)
    code, found = doctor()
    assert code == 1
    broken = [finding for group in found.values() for finding in group if finding["state"] == "broken"]
    assert [finding["what"] for finding in broken] == [what]
    assert said in broken[0]["found"]
    assert mend in broken[0]["mend"]


def test_a_named_workspace_that_is_none_is_broken(doctor: Doctor) -> None:
    code, found = doctor(SIM_WORKSPACE="/nowhere")
    assert code == 1
    assert found["workspace"][0]["mend"].startswith("`sim init ")


def test_forward_trading_is_said_to_be_ready_or_what_it_lacks(workspace: Path, doctor: Doctor) -> None:
    assert doctor()[1]["forward"][0]["state"] == "absent"
    (workspace / "forward.stop").write_text("something was wrong")
    code, found = doctor()
    assert (code, found["forward"][0]["found"]) == (0, "the kill switch is thrown (something was wrong)")
    (workspace / "forward.stop").unlink()
    (workspace / "config" / "forward.yaml").write_text("mod: paper")
    code, found = doctor()
    assert (code, 'unknown key "mod"' in found["config"][0]["found"]) == (1, True)


def test_each_account_with_keys_is_asked_for_its_number_and_its_clock(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from simulator.exchange.exchange import Exchange
    from simulator.exchange.server import serve
    from simulator.market.bars import Bars
    from simulator.workspace import Workspace

    for name in ("COUNCIL", "GROQ"):
        monkeypatch.setenv(f"ALPACA_PAPER_KEY_{name}", f"planted-key-{name}")
        monkeypatch.setenv(f"ALPACA_PAPER_SECRET_{name}", f"planted-secret-{name}")
    monkeypatch.setenv("SIM_WEBHOOK_URL", "https://hooks.example.org/planted")
    place = Workspace(workspace, workspace)
    assert doctor_checks.check_forward(place).found == (
        "paper keys of GROQ, COUNCIL, without: CHATGPT, GEMINI, CLAUDE, DEEPSEEK; alerts to the log, webhook"
    )
    opens, price = np.array([1_717_421_400_000_000_000]), np.array([[100.0]])
    day = np.array([19_877])
    bars = Bars(("SPY",), opens, opens + 23_400 * 10**9, price, price, price, price, price, price * 0, day, ("x",))
    with serve(Exchange(bars, int(opens[0]) - 10**9)) as served:
        asked = doctor_checks.check_broker(place, served.url)
    assert [finding.state for finding in asked] == ["ok", "ok"]
    assert all("paper account " in finding.found and "$100,000.00" in finding.found for finding in asked)
    gone = doctor_checks.check_broker(place, "http://127.0.0.1:9")
    assert [(finding.what, finding.state) for finding in gone] == [("broker", "absent")] * 2
    assert "planted" not in str(asked) + str(gone)
