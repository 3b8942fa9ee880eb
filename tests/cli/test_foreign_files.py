"""Files, folders and strategies of others: whatever they are, one line, within a second or so, nothing half-written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.config import Assets, read_yaml
from simulator.council.spec import load_definition
from simulator.errors import ConfigError, LLMError, UsageError
from simulator.files import read_bytes
from simulator.llm.spending.shared_ledger import SharedLedger
from simulator.rules import load_rule
from simulator.store.connection import parse_place

from ..conftest import Sim

RULE = ("run", "--strategy", "sma_cross", "--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-01-31")
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            BOMB,
            "its aliases stand for more than 100,000 values",
            marks=pytest.mark.fault("disk", "a YAML bomb of aliases", "one line"),
        ),
        pytest.param(
            MERGES,
            "its aliases stand for more than 100,000 values",
            marks=pytest.mark.fault("disk", "a YAML bomb of merge keys", "one line"),
        ),
        pytest.param(
            "a: &a\n  b: *a\n",
            ":1: an anchor stands for something that holds it",
            marks=pytest.mark.fault("disk", "a YAML anchor holds itself", "one line with its line"),
        ),
        pytest.param(
            "[" * 200_000,
            "is nested more than 50 levels deep",
            marks=pytest.mark.fault("disk", "YAML nested a hundred thousand deep", "one line"),
        ),
        pytest.param("a: {" * 70 + "}" * 70, "is nested more than 50 levels deep"),
        pytest.param(
            "risk_free_rate: " + "9" * 5000 + "\nassets: {}\n",
            '9": a number of 5,000 digits',
            marks=pytest.mark.fault("disk", "an integer of 5,000 digits in YAML", "one line with its line"),
        ),
        pytest.param(
            "x: 1\ncash_instrument: 2024-02-31\nassets: {}\n",
            ':2: "2024-02-31": day is out of range',
            marks=pytest.mark.fault("disk", "a date there is not in YAML", "one line with its line"),
        ),
        pytest.param("assets: !!python/object/apply:os.system [exit]\n", "could not determine a constructor"),
        pytest.param("risk_free_rate: .inf\nassets: {}\n", "finite number"),
        pytest.param(
            "a" * 1_100_000,
            "is larger than 1,000,000 bytes",
            marks=pytest.mark.fault("disk", "a YAML file of many megabytes", "one line"),
        ),
        pytest.param("? [a]\n: b\n", "unhashable"),
    ],
)
def test_yaml_that_would_never_end_is_one_line_at_once(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "assets.yaml").write_text(content)
    began = time.process_time()
    with pytest.raises(ConfigError) as refused:
        read_yaml(tmp_path / "assets.yaml", Assets)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert time.process_time() - began < 2.0


def test_anchors_as_people_use_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "assets.yaml").write_text("assets:\n  SPY: &x {name: S, group: us}\n  QQQ: {<<: *x, name: Q}\n")
    assert read_yaml(tmp_path / "assets.yaml", Assets).assets["QQQ"].group == "us"


PLACES = (
    "config/costs.yaml",
    "config/models.yaml",
    "strategies/sma_cross.py",
    "data/SPY.csv",
    "data/events.csv",
    "data/news/mine.csv",
    "data/news/mine.jsonl",
    "sim.db",
    "llm_cache/cache.db",
    "strategies/macro_council/strategy.yaml",
    "strategies/macro_council/prompts/pitch.md",
    "strategies/macro_council/prompts/trend.md",
)


@pytest.mark.medium
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.fault("disk", "a named pipe or a device stands where a file is read", "one line, nothing waits for it")
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_one_line(place: str, workspace: Path, sim: Sim) -> None:
    words = RULE if "sma_cross" in place or not place.startswith(("llm", "strat", "data/e", "data/n")) else COUNCIL
    path = workspace / place
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        make(path)
        done = sim(*words, cwd=workspace)
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("sim: error: ")
        assert make is not os.mkfifo or "is a named pipe" in done.stderr, done.stderr
        assert not list(workspace.glob("reports/*"))


COUNCIL = ("run", "--symbols", "SPY,QQQ", "--from", "2024-01-02", "--to", "2024-01-12")


def test_a_ledger_that_is_a_pipe_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shared_ledger.db")
    with pytest.raises(LLMError, match="named pipe"):
        SharedLedger(tmp_path).claim("key")


def test_the_one_function_that_opens_files_of_others_refuses_what_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "named pipe"), (Path("/dev/zero"), "device"), (tmp_path, "irectory|folder")):
        with pytest.raises(OSError, match=said):
            read_bytes(path)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_bytes(tmp_path / "large", 10)


def council_reading(file: str, workspace: Path) -> Path:
    path = workspace / "strategies" / "macro_council" / "strategy.yaml"
    path.write_text(path.read_text().replace("prompts/persona_chairman.md", file).replace("personas/chairman.md", file))
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip().startswith("persona:"))
    lines[at] = f"{lines[at].split('persona:')[0]}persona: {file}"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.fault("disk", "a persona of a council is ../../etc/passwd, a whole path or a link out of it", "one line")
def test_a_council_reads_nothing_outside_of_its_folder(workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("You are a spy.")
    council = workspace / "strategies" / "macro_council"
    (council / "link.md").symlink_to(secret)
    (council / "chain.md").symlink_to("link.md")
    (council / "out").symlink_to(tmp_path)
    named = ("../../../secret.md", str(secret), "link.md", "chain.md", "out/secret.md", "prompts/../../../../secret.md")
    original = (council / "strategy.yaml").read_text()
    for file in named:
        path = council_reading(file, workspace)
        with pytest.raises(ConfigError, match=r"lies outside|whole path|no prompt file"):
            load_definition(path)
        path.write_text(original)
    moved = tmp_path / "elsewhere"
    council.rename(moved)
    council.symlink_to(moved)
    load_definition(council / "strategy.yaml")  # a link to a whole council is one
    (moved / "strategy.yaml").unlink()
    (tmp_path / "other.yaml").write_text(original)
    (moved / "strategy.yaml").symlink_to(tmp_path / "other.yaml")
    with pytest.raises(ConfigError, match="link that leads out"):
        load_definition(council / "strategy.yaml")


ENDINGS = {
    "exit()": "SystemExit: None",
    "__import__('sys').exit(3)": "SystemExit: 3",
    "raise SystemExit('done')": "SystemExit: done",
    "raise GeneratorExit": "GeneratorExit",
    "return self.weights(market)": "RecursionError",
    "raise MemoryError": "MemoryError",
    "raise type('Stop', (BaseException,), {})('now')": "Stop: now",
    "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})": "Mute: its text cannot be made (ZeroDiv",
    "__import__('sys').stdout.close(); 1 / 0": "ZeroDivisionError",
}


@pytest.mark.medium
@pytest.mark.parametrize("body", ENDINGS)
@pytest.mark.fault(
    "python",
    "a strategy ends the program, runs out of stack or raises what cannot be shown",
    "a failure of the strategy, exit code 2",
)
def test_a_strategy_that_ends_the_program_has_failed(body: str, workspace: Path, sim: Sim) -> None:
    (workspace / "strategies" / "mine.py").write_text(
        "from simulator.rules import Rule\nclass Mine(Rule):\n    def weights(self, market):\n"
        f"        {body}\n        return {{}}\n"
    )
    done = sim(
        "run", "--strategy", "mine", "--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-01-31", cwd=workspace
    )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, last.startswith("sim: error: strategies/mine.py:4: ")) == (2, True), done.stderr
    assert ENDINGS[body] in last
    assert not list(workspace.glob("reports/*"))


@pytest.mark.medium
@pytest.mark.fault("python", "a strategy closes stdout", "the command prints its result all the same")
def test_a_strategy_that_closes_stdout_silences_nothing(workspace: Path, sim: Sim) -> None:
    (workspace / "strategies" / "mine.py").write_text(
        "import sys\nfrom simulator.rules import Rule\nclass Mine(Rule):\n    def weights(self, market):\n"
        "        sys.stdout.close(), sys.stderr.close()\n        return {}\n"
    )
    span = ("--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-01-31")
    done = sim("run", "--strategy", "mine", *span, cwd=workspace, own_process=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "report.html" in done.stdout


@pytest.mark.parametrize("where", ["import sys\nsys.exit(0)\n", "class A:\n    raise SystemExit\n"])
def test_a_strategy_file_that_exits_when_it_is_loaded_has_failed(where: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(where)
    with pytest.raises(ConfigError, match=r"mine\.py:2: SystemExit"):
        load_rule(tmp_path / "mine.py")


@pytest.mark.medium
@pytest.mark.parametrize("ending", ["SystemExit", "type('Stop', (BaseException,), {})"])
def test_a_strategy_of_another_class_that_exits_has_failed(ending: str, workspace: Path, sim: Sim) -> None:
    (workspace / "strategies" / "mine.py").write_text(
        "from simulator import Decision\nclass Mine:\n    name = 'mine'\n    cadence = 'weekly'\n    window = 1\n"
        "    reads = 'nothing'\n    async def opine(self, snapshot, journal):\n        return None\n"
        "    def decide(self, snapshot, opinion, book, journal):\n"
        f"        raise {ending}(0)\n"
    )
    done = sim(
        "run",
        "--strategy",
        "mine",
        "--symbols",
        "SPY",
        "--from",
        "2024-01-02",
        "--to",
        "2024-01-31",
        cwd=workspace,
        own_process=True,
    )
    assert done.returncode == 2, done.stderr
    assert ("SystemExit: 0" if ending == "SystemExit" else "Stop: 0") in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"],
)
@pytest.mark.fault(
    "disk", "DATABASE_URL names a database in memory", "refused in one line: it would end with the command"
)
def test_a_database_in_memory_is_refused(url: str, workspace: Path, sim: Sim) -> None:
    with pytest.raises(UsageError, match="in memory"):
        parse_place(url)
    done = sim("runs", cwd=workspace, env={"DATABASE_URL": url})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.medium
@pytest.mark.fault("disk", "reports/ cannot be written", "found before anything is asked")
def test_reports_that_cannot_be_written_are_found_before_anything_is_asked(workspace: Path, sim: Sim) -> None:
    for make in (lambda path: path.write_text("a file"), lambda path: path.symlink_to("/nowhere/at/all"), os.mkfifo):
        make(workspace / "reports")
        done = sim(*COUNCIL, cwd=workspace)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "reports: cannot be written" in done.stderr
        assert not (workspace / "llm_cache" / "cache.db").exists()
        (workspace / "reports").unlink()


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "the umask lets everybody read", "ledger, cache, store and logs are 0600; older ones become so"
)
def test_databases_and_logs_are_read_by_their_owner_alone(workspace: Path, sim: Sim) -> None:
    today = workspace / "logs" / "llm" / f"{datetime.now(UTC):%Y%m%d}.jsonl"
    for _ in range(2):
        done = sim(*COUNCIL, cwd=workspace, preexec_fn=lambda: os.umask(0))
        assert done.returncode == 0, done.stderr
        private = [workspace / "sim.db", workspace / "llm_cache" / "cache.db", today]
        private += [path for path in (workspace / "llm_cache").iterdir() if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in private if path.exists()} == {0o600}
        for path in private:
            if path.exists() and path.name != "opinions.db":  # no earlier version made one
                path.chmod(0o644)


@pytest.mark.parametrize("day", ["0001-01-01", "1600-01-01", "1899-12-31", "2200-01-01", "9999-12-31"])
@pytest.mark.fault("machine", "a date of the year 1600 or 9999 is typed", "one line that names the years there are")
def test_a_year_without_a_calendar_is_one_line(day: str, workspace: Path, sim: Sim) -> None:
    for words in (
        ["run", "--from", day],
        ["run", "--to", day],
        ["council", "pitch", "--as-of", day],
        ["council", "pitch", "--as-of", f"{day}T09:00"],
        ["data", "fetch", "--source", "synthetic", "--symbols", "X", "--from", day],
    ):
        done = sim(*words, cwd=workspace)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "1900 to 2199" in done.stderr


@pytest.mark.medium
@pytest.mark.fault(
    "machine", "stdout is closed", "one line before anything is done; its number is given to no database"
)
def test_closed_streams_are_one_line(workspace: Path) -> None:
    def run(shell: str) -> subprocess.CompletedProcess[str]:
        words = ["sh", "-c", f'"{sys.executable}" -m simulator runs {shell}']
        return subprocess.run(words, cwd=workspace, capture_output=True, text=True, check=False)

    closed = run(">&-")
    assert (closed.returncode, closed.stderr.count("\n")) == (2, 1)
    assert "stdout is closed" in closed.stderr
    assert run("2>&- <&-").returncode == 0
    assert run("| head -0").stderr == ""
    assert run(">/dev/full").stderr.count("\n") == 1


@pytest.mark.medium
@pytest.mark.fault("machine", "the current folder is deleted or its name is not UTF-8", "one line")
def test_a_folder_that_is_gone_or_has_no_name_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    nameless = os.fsencode(tmp_path) + b"/n\xff"
    os.mkdir(nameless)
    for place, said in ((os.fsencode(gone), "is gone"), (nameless, "not UTF-8")):
        remove = 'rmdir "$1"' if said == "is gone" else "true"
        script = f'cd "$1" && {remove} && "{sys.executable}" -m simulator runs; echo $?'
        done = subprocess.run(["sh", "-c", script, "sh", place], capture_output=True, check=False)
        assert done.stdout.decode() == "2\n"
        assert (done.stderr.decode().count("\n"), said in done.stderr.decode()) == (1, True), done.stderr
