"""Runs asked in batches, against a fake service that speaks the batch interface over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator import run as simulate
from simulator.council.analysts import RULES
from simulator.desk.agents.analysts import RULES as DESK_RULES
from simulator.desk.agents.personas import AGENTS
from simulator.errors import ConfigError, LLMError, SimError, UsageError
from simulator.llm import batch
from simulator.llm.batch_service import BatchService
from simulator.llm.cache import AnswerCache
from simulator.llm.fake_service.batches import BatchBehaviour
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.providers.offline import Offline
from simulator.llm.retries import Retry
from simulator.llm.spending.batch_ledger import BatchLedger, BatchRow
from simulator.llm.spending.shared_ledger import SharedLedger
from simulator.report.plan import print_plan
from simulator.report.renderers.console import Console
from simulator.runs import batches
from simulator.runs.plan import make_plan
from simulator.runs.spec import RunSpec
from simulator.workspace import find_workspace, make_workspace

from ..conftest import listening
from .conftest import PRICE, Serve, priced_service, seat_models

pytestmark = pytest.mark.medium

DATES = {"start": "2024-01-02", "end": "2024-01-12"}
QUESTIONS, ROUNDS = 2 * 28, 4


def run(workspace: Path, **options: Any) -> Any:
    words = {"workspace": workspace, "models": "dry", "max_cost": 100.0, "batch": "all", **DATES, **options}
    return simulate("macro_council", ["SPY", "QQQ"], **words)


@pytest.fixture
def serve(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """An instant service."""
    monkeypatch.setattr(batch, "FIRST_LOOK", 0.01)
    monkeypatch.setattr(batches, "BatchService", partial(BatchService, retry=Retry((0.0,) * 5)))
    return partial(serve, "--latency", 0, "--batch-delay", 0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, service_loop: Any) -> Any:
    """The run asked singly."""
    workspace = tmp_path_factory.mktemp("alone") / "workspace"
    make_workspace(workspace, git=False)
    with listening(service_loop, priced_service()) as service:
        seat_models(workspace, service.url)
        yield run(workspace, batch=None)


class SlowService(FakeService):
    """A service whose batches take an hour, until they are told to `finish`."""

    url = ""

    def finish(self) -> None:
        self.batches.behaviour = BatchBehaviour(0.0)
        for one in self.batches.batches.values():
            one.takes_s, one.cancelled_at = 0.0, one.cancelled_at and one.began


@pytest.fixture
def slow(service_loop: Any) -> Iterator[SlowService]:
    behaviour = Behaviour(latency_s=0.0, usd_per_million=PRICE, batch=BatchBehaviour(3600.0))
    with listening(service_loop, service := SlowService(Offline(RULES, "rehearsal"), behaviour)) as there:
        service.url = there.url
        yield service


def asked(folder: Path) -> list[dict[str, Any]]:
    """Lines of llm_calls.jsonl without what a batch, or the address of another service, changes."""
    text = (folder / "llm_calls.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return sorted(({k: v for k, v in line.items() if k not in ("key", "cost_usd")} for line in lines), key=repr)


def same(one: Any, other: Any) -> bool:
    return one.facts["metrics"] == other.facts["metrics"] and asked(one.folder) == asked(other.folder)


def out(workspace: Path) -> list[BatchRow]:
    ledger = SharedLedger(workspace / "llm_cache")
    try:
        return BatchLedger(ledger).rows()
    finally:
        ledger.close()


def spent(workspace: Path) -> tuple[float, float]:
    """Dollars of the day as the ledger has them, and the part whose answers never came."""
    ledger = SharedLedger(workspace / "llm_cache")
    with ledger.transaction() as db:
        day = ledger.spending(db, "")
    ledger.close()
    return day.day, day.lost


def test_a_run_in_batches_is_the_run_asked_singly_at_half_the_price(
    serve: Serve, workspace: Path, alone: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve()
    seat_models(workspace, service.url)
    plan = make_plan(spec(), find_workspace(workspace))
    batched, stats = run(workspace), service.stats()
    assert (stats["requests"], stats["answered"], stats["twice"]) == (0, QUESTIONS, 0)
    assert same(batched, alone)
    assert {row["served"] for row in asked(batched.folder)} == {row["served"] for row in asked(alone.folder)} != {""}
    assert batched.runtime["cost_usd"] == pytest.approx(alone.runtime["cost_usd"] / 2)
    assert spent(workspace) == pytest.approx((stats["usd"], 0.0))
    assert out(workspace) == []
    assert not list((workspace / "llm_cache" / "batches").iterdir())
    assert plan.batch is not None
    assert (plan.batch.rounds, plan.batch.hours) == (ROUNDS, 24 * ROUNDS)
    print_plan(plan, Console())
    said = " ".join(capsys.readouterr().out.split())
    for price in (f"About ${plan.usd.likely:.2f}", f"about ${plan.batch.usd.likely:.2f}"):
        assert price in said
    assert f"in {ROUNDS} rounds of at most 24 h, {24 * ROUNDS} h in all" in said
    again = run(workspace)
    assert (again.facts["digest"], again.runtime["asked"], service.stats()["batches"]) == (
        batched.facts["digest"],
        0,
        stats["batches"],
    )


def test_a_batch_has_the_keys_and_the_digest_of_asking_singly(serve: Serve, workspace: Path, tmp_path: Path) -> None:
    service = serve()
    seat_models(workspace, service.url)
    batched = run(workspace)
    for folder in ("llm_cache", "reports"):
        (workspace / folder).rename(tmp_path / folder)
    single = run(workspace, batch=None)
    assert batched.facts["digest"] == single.facts["digest"]
    assert batched.facts["llm"]["cache_entries"] == single.facts["llm"]["cache_entries"]
    with AnswerCache(tmp_path / "llm_cache") as ours, AnswerCache(workspace / "llm_cache") as theirs:
        assert [answer_of(one) for one in ours.entries()] == [answer_of(one) for one in theirs.entries()]


def answer_of(entry: Any) -> Any:
    response = entry.response
    return entry.key, entry.request, entry.purpose, response.text, response.outcome, response.model, response.finish


def spec(**more: Any) -> RunSpec:
    words = {
        "strategy": "macro_council",
        "symbols": ("SPY", "QQQ"),
        "first": date(2024, 1, 2),
        "last": date(2024, 1, 12),
    }
    return RunSpec(**{**words, "models": "dry", "batch": "all", **more})


PASSING = [
    ("batch-expired", ROUNDS + 1),
    ("batch-partial", ROUNDS + 1),
    ("batch-silent", ROUNDS + 1),
    ("batch-shuffled", ROUNDS),
    ("batch-garbled", ROUNDS + 1),
    ("batch-create-500", ROUNDS),
    ("batch-create-cut", ROUNDS),
    ("batch-poll-503", ROUNDS),
    ("batch-cut-file", ROUNDS),
]


def test_a_desk_s_mornings_are_asked_in_batches_and_the_rest_as_its_account_goes_along(
    service_loop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "FIRST_LOOK", 0.01)
    behaviour = Behaviour(latency_s=0.0, usd_per_million=PRICE, batch=BatchBehaviour(0.0))
    runs = []
    with listening(service_loop, FakeService(Offline(DESK_RULES, "rehearsal"), behaviour)) as service:
        for name, asked_by in (("singly", None), ("batches", "all")):
            make_workspace(folder := tmp_path / name, git=False)
            seats = {
                one: {"provider": "openai_compatible", "endpoint": service.url, "max_tokens": 700, "model": one}
                for one in AGENTS
            }
            models = {"profiles": {"offline": seats, "dry": seats}, "prices": {service.url: {"input": 3, "output": 15}}}
            (folder / "config" / "models.yaml").write_text(json.dumps(models))
            options = {"workspace": folder, "models": "dry", "max_cost": 100.0, "batch": asked_by}
            desk = partial(simulate, "momentum_desk", ["AAPL", "SPY"], **options)
            runs.append(desk(start="2024-02-01", end="2024-02-16"))
    alone, batched = runs
    assert batched.facts["digest"] == alone.facts["digest"]
    stages = [json.loads(line)["stage"] for line in (batched.folder / "llm_calls.jsonl").read_text().splitlines()]
    assert {"screener", "analyzer", "optimizer", "reviewer"} <= set(stages)
    cost = [run.runtime["cost_usd"] for run in runs]
    assert cost[0] / 2 < cost[1] < cost[0]


@pytest.mark.parametrize(("fault", "rounds"), PASSING)
def test_what_goes_wrong_with_a_batch_changes_no_result(
    fault: str, rounds: int, serve: Serve, workspace: Path, alone: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve("--fault", fault, "--first", 1)
    seat_models(workspace, service.url)
    batched, stats = run(workspace), service.stats()
    assert same(batched, alone)
    assert (stats["questions"], out(workspace)) == (QUESTIONS, [])
    said = capsys.readouterr().err
    assert f"round {rounds}: " in said
    assert f"round {rounds + 1}: " not in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.fault(
    "disk",
    "a run in batches is killed at any step of a batch",
    "the same command goes on: no question is submitted twice, no answer lost, the money is booked once",
)
def test_a_run_killed_at_every_step_submits_and_books_nothing_twice(serve: Serve, workspace: Path, alone: Any) -> None:
    service = serve("--batch-delay", 0.05)
    seat_models(workspace, service.url)
    given = {"strategy": "macro_council", "symbols": "SPY,QQQ", "models": "dry", "max_cost": 100.0, "batch": "all"}
    words = json.dumps({**given, **DATES, "workspace": str(workspace)})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("batch_kills.py")), words],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, stats = json.loads(done.stdout), service.stats()
    assert all(found["killed"]), found["killed"]
    assert found["metrics"] == alone.facts["metrics"]
    assert asked(Path(found["folder"])) == asked(alone.folder)
    assert (stats["answered"], stats["twice"], stats["requests"]) == (QUESTIONS, 0, 0)
    assert spent(workspace) == pytest.approx((stats["usd"], 0.0))
    assert out(workspace) == []
    with AnswerCache(workspace / "llm_cache") as cache:
        assert cache.verify().bad == ()


ENDS = [
    ("batch-invalid", LLMError, "failed validation (line 1: the rehearsal fails it", 0.0),
    ("batch-echo", LLMError, "failed validation (line 1: not with", 0.0),
    ("batch-cancelled", LLMError, "was cancelled: 1 of 2 answers came and are kept", 0.5),
    ("batch-gone", LLMError, "does not know batch batch_1", 0.0),
    ("no-batches", ConfigError, "has no such batch or no batches at all (404)", 0.0),
    ("no-batches-405", ConfigError, "has no such batch or no batches at all (405)", 0.0),
]


@pytest.mark.parametrize(("fault", "kind", "line", "answered"), ENDS)
def test_what_ends_a_run_in_batches_is_one_line(
    fault: str, kind: type[SimError], line: str, answered: float, serve: Serve, workspace: Path, sim: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    secret = "sk-planted-77aa10f2c4"
    monkeypatch.setenv("MY_SERVICE_KEY", secret)
    service = serve("--fault", fault)
    seat_models(workspace, service.url)
    models = workspace / "config" / "models.yaml"
    models.write_text(models.read_text().replace('"timeout_s": 5', '"timeout_s": 5, "api_key_env": "MY_SERVICE_KEY"'))
    with pytest.raises(kind) as raised:
        run(workspace)
    text, stats = str(raised.value), service.stats()
    assert line in text
    assert "\n" not in text
    assert secret not in text
    assert stats["requests"] == 0
    if fault.startswith("no-batches"):
        assert (stats["files"], spent(workspace)[0]) == (0, 0.0)
    else:
        assert "--batch all`" in text or "sim batch forget" in text
    assert secret.encode() not in b"".join(path.read_bytes() for path in workspace.rglob("*") if path.is_file())
    assert bool(stats["answered"]) is bool(answered)
    if answered:
        # Others that were out are fetched by the same command, or by this one.
        assert sim("batch", "--workspace", workspace).returncode == 0
        assert (out(workspace), spent(workspace)) == ([], pytest.approx((stats["usd"], 0.0)))
    with AnswerCache(workspace / "llm_cache") as cache:
        assert len(cache.keys()) == stats["answered"]


def test_a_batch_nobody_knows_can_be_forgotten_and_its_questions_asked_again(
    serve: Serve, workspace: Path, sim: Any, alone: Any
) -> None:
    gone = serve("--fault", "batch-gone", "--first", 1)
    seat_models(workspace, gone.url)
    with pytest.raises(LLMError):
        run(workspace)
    held, (row, *_) = spent(workspace)[0], out(workspace)
    listed = sim("batch", "--workspace", workspace)
    assert (listed.returncode, "does not know" in listed.stdout or "no such batch" in listed.stdout) == (0, True)
    with pytest.raises(SimError, match="is out in batch_1"):
        run(workspace, batch=None)
    forgotten = sim("batch", "forget", "batch_1", "--workspace", workspace)
    assert (forgotten.returncode, forgotten.stdout.count("\n")) == (0, 1)
    assert spent(workspace)[0] <= held
    assert spent(workspace)[1] == pytest.approx(row.likely)
    assert same(run(workspace), alone)
    assert sim("batch", "--workspace", workspace).stdout == "no batches are out\n"
    assert sim("batch", "forget", "batch_1", "--workspace", workspace).returncode == 2


@pytest.mark.parametrize("limits", [batch.Limits(questions=7), batch.Limits(size=60_000)])
def test_files_keep_to_the_limits_and_to_one_model(
    limits: batch.Limits, serve: Serve, workspace: Path, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve("--batch-limits", limits.questions, limits.size)
    seat_models(workspace, service.url)
    monkeypatch.setattr(batches, "BatchAsker", partial(batches.BatchAsker, limits=limits))
    assert same(run(workspace), alone)
    assert service.stats()["batches"] > 13


def test_a_question_larger_than_a_file_is_one_line(
    serve: Serve, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve()
    seat_models(workspace, service.url)
    monkeypatch.setattr(batches, "BatchAsker", partial(batches.BatchAsker, limits=batch.Limits(size=100)))
    with pytest.raises(ConfigError, match="too large for a batch"):
        run(workspace)
    assert (service.stats()["files"], spent(workspace)) == (0, (0.0, 0.0))


def test_a_full_queue_is_asked_less_at_once(serve: Serve, workspace: Path, alone: Any) -> None:
    service = serve("--fault", "batch-queue-full")
    seat_models(workspace, service.url)
    assert same(run(workspace), alone)
    assert service.stats()["batches"] > 13


def test_money_that_is_out_counts_and_a_run_stops_and_goes_on_with_more(serve: Serve, workspace: Path) -> None:
    service = serve()
    seat_models(workspace, service.url)
    with pytest.raises(SimError, match="--max-cost"):
        run(workspace, max_cost=0.01)
    assert (service.stats()["files"], spent(workspace)) == (0, (0.0, 0.0))
    made = run(workspace, max_cost=0.35)
    stats = service.stats()
    assert stats["usd"] <= 0.35
    assert made.facts["llm"]["calls"] == QUESTIONS
    assert stats["twice"] == 0


def test_nobody_to_put_into_batches_is_one_line(workspace: Path, serve: Serve) -> None:
    seat_models(workspace, serve().url)
    for words in ({"models": "offline"}, {"cache": "off"}):
        with pytest.raises(UsageError, match="--batch"):
            run(workspace, **words)


@pytest.mark.parametrize("how", ["all", "meetings"])
def test_checkpoints_follow_each_other_and_weeks_go_side_by_side(
    how: Any, serve: Serve, workspace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service = serve()
    definition = workspace / "strategies" / "macro_council" / "strategy.yaml"
    text = definition.read_text()
    seat_models(workspace, service.url)
    definition.write_text(text)
    planned = make_plan(spec(batch=how, last=date(2024, 1, 19)), find_workspace(workspace)).batch
    batched = run(workspace, batch=how, end="2024-01-19")
    stats = service.stats()
    rounds = capsys.readouterr().err.count("sim: round ")
    assert planned is not None
    assert rounds <= planned.rounds
    assert (stats["requests"] > 0) is (how == "meetings")
    assert rounds == 4 if how == "meetings" else 4 < rounds <= 4 + 4
    for folder in ("llm_cache", "reports"):
        (workspace / folder).rename(tmp_path / folder)
    single = run(workspace, batch=None, end="2024-01-19")
    assert "checkpoint" in {row["stage"] for row in asked(single.folder)}
    assert batched.facts["digest"] == single.facts["digest"]


def test_replicates_share_their_rounds(serve: Serve, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = serve()
    seat_models(workspace, service.url)
    made = run(workspace, replicates=3)
    assert service.stats()["answered"] == 3 * QUESTIONS
    assert capsys.readouterr().err.count("sim: round ") == ROUNDS
    assert made.facts["replicates"] is not None


def test_a_bad_answer_is_asked_about_in_the_next_round(
    serve: Serve, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve("--fault", "not-json", "--faults", 0.1, "--seed", 1)
    seat_models(workspace, service.url)
    batched = run(workspace)
    rounds = capsys.readouterr().err.count("sim: round ")
    assert service.stats()["faults"]["not-json"] > 0
    assert ROUNDS < rounds <= 2 * ROUNDS
    assert batched.facts["llm"]["calls"] > QUESTIONS


def test_a_refused_field_costs_one_round_and_is_left_out_then(serve: Serve, workspace: Path) -> None:
    service = serve("--fault", "no-schema")
    seat_models(workspace, service.url)
    made = run(workspace)
    assert made.facts["llm"]["failed"] == 0
    assert service.stats()["requests"] == 0
    assert any("refuses JSON schemas" in note for note in made.facts["notes"])


def test_seats_without_batches_are_asked_singly(serve: Serve, workspace: Path, alone: Any) -> None:
    service = serve()
    seat_models(workspace, service.url)
    path = workspace / "config" / "models.yaml"
    content = json.loads(path.read_text())
    content["profiles"]["dry"]["pm.trend"] = content["profiles"]["offline"]["pm.trend"]
    path.write_text(json.dumps(content))
    made = run(workspace)
    assert made.facts["metrics"] == alone.facts["metrics"]
    asked_of = {row["provider"] for row in asked(made.folder)}
    assert asked_of == {"offline", "openai_compatible"}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT")
def test_ctrl_c_leaves_batches_out_and_says_what_goes_on(
    slow: SlowService, workspace: Path, alone: Any, sim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat_models(workspace, slow.url)
    words = ["run", "--models", "dry", "--from", DATES["start"], "--to", DATES["end"], "--batch", "--max-cost", "100"]
    command = [sys.executable, "-m", "simulator", "--workspace", str(workspace), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        while not ((workspace / "llm_cache").is_dir() and sum(bool(row.batch) for row in out(workspace)) == 2):
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.search(r"4 questions stay out in batch_[12], batch_[12]: `sim run", said)
    assert "--batch all` continues" in said
    assert sorted(row.batch for row in out(workspace)) == ["batch_1", "batch_2"]
    held = sum(row.usd for row in out(workspace))
    assert spent(workspace) == pytest.approx((held, 0.0))
    listed = json.loads(sim("batch", "--json", "--workspace", workspace).stdout)
    assert sorted(one["id"] for one in listed) == ["batch_1", "batch_2"]
    assert sum(one["set_aside_usd"] for one in listed) == pytest.approx(held)
    # Another command that needs one of these answers says so, and sends nothing.
    done = sim("run", "--models", "dry", "--from", DATES["start"], "--to", DATES["end"], "--workspace", workspace)
    assert (done.returncode, "is out in batch_" in done.stderr) == (4, True)
    cancelled = sim("batch", "cancel", "batch_1", "--workspace", workspace)
    assert (cancelled.returncode, "batch_1 is being cancelled" in cancelled.stdout) == (0, True)
    # The same command goes on with what is out, and asks nothing twice.
    slow.finish()
    monkeypatch.setattr(batch, "FIRST_LOOK", 0.01)
    with pytest.raises(LLMError, match=r"batch_1 of .* was cancelled: 0 of 2 answers came"):
        run(workspace)
    assert same(run(workspace), alone)
    stats = slow.stats()
    assert (stats["answered"], stats["twice"], stats["requests"]) == (QUESTIONS, 0, 0)
    assert spent(workspace) == pytest.approx((stats["usd"], 0.0))
