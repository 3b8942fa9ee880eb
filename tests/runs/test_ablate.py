"""What the council adds: recorded votes decided again, by hand and over a year of the sample, with nobody to ask."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.analysis import variants
from simulator.analysis.ablation import Case, ablate, open_case
from simulator.analysis.pairs import adjust_pairs, compare_returns
from simulator.analysis.verdict import describe_skill
from simulator.council.context import PipelineContext
from simulator.council.earlier_theses import restore_meeting
from simulator.council.spec import CouncilSpec, load_definition
from simulator.council.write_record import evidence
from simulator.errors import DataError, UsageError
from simulator.market.bars import FIELDS, Bars, Floats
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed, play
from simulator.report.ablation import page
from simulator.runs.execute import PartialRunError
from simulator.stats.compare import compare
from simulator.stats.series import Undefined
from simulator.trading.model import Book
from simulator.trading.strategy import Strategy
from simulator.workspace import Workspace, find_workspace, make_workspace

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

AS_OF = datetime(2024, 6, 3, 12, tzinfo=UTC)
PERIOD = ("2024-01-02", "2024-06-28")
DIMENSIONS = (
    *("clarity", "edge_plausibility", "timing_catalyst", "risk_definition", "indicator_integrity"),
    *("originality", "tradeability"),
)
NOBODY = """
import socket, sys
def refused(*given, **named):
    raise SystemExit("something was asked")
socket.socket.connect = refused
import simulator.llm.gateway as gateway
gateway.Gateway.__init__ = refused
from simulator.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def workspace_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation") / "workspace"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture(scope="module")
def run(workspace_of_a_run: Path) -> simulator.Run:
    return simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace_of_a_run)


@pytest.fixture(scope="module")
def found(workspace_of_a_run: Path) -> Workspace:
    return find_workspace(workspace_of_a_run)


@pytest.fixture(scope="module")
def case(run: simulator.Run, found: Workspace) -> Case:
    return open_case(run.folder, found)


@pytest.fixture(scope="module")
def facts(run: simulator.Run, found: Workspace) -> dict[str, Any]:
    return ablate(run.folder, found)


@pytest.fixture(scope="module")
def spec() -> CouncilSpec:
    root = Path(simulator.__file__).parents[1]
    return load_definition(root / "strategies" / "macro_council" / "strategy.yaml").spec


def pitch(instrument: str, direction: str, conviction: int) -> dict[str, Any]:
    stops = {"LONG": (90.0, 120.0), "SHORT": (110.0, 80.0), "FLAT": (None, None)}[direction]
    return {
        "instrument": instrument,
        "direction": direction,
        "horizon": "2-4 weeks",
        "thesis_bullets": ["one", "two", "three"],
        "indicators": [],
        "conviction": conviction,
        "invalidation": "never",
        **dict(zip(("stop", "target"), stops, strict=True)),
    }


PITCHES = {
    "a": pitch("SPY", "LONG", 2),
    "b": pitch("SPY", "LONG", 2),
    "c": pitch("SPY", "SHORT", -1),
    "d": pitch("QQQ", "LONG", 1),
    "e": pitch("QQQ", "FLAT", 0),
}
SCORES = {"a": 3, "b": 7, "c": 6, "d": 3, "e": 6}
"""What everybody gives a pitch, but for a, who gives b only 3: b's mean is (3 + 7 + 7 + 7)/4 = 6."""


def hand_made(**changes: Any) -> PipelineContext:
    """Weighted by score/6: SPY 2·3/6 + 2·6/6 − 1·6/6 = +2, QQQ 1·3/6 = +0.5."""
    reviews = [
        {
            "seat": reviewer,
            "about": about,
            "keys": [],
            "answer": {
                "scores": dict.fromkeys(DIMENSIONS, 3 if (reviewer, about) == ("a", "b") else SCORES[about]),
                "kill_shot": "none",
                "flip_condition": "none",
            },
        }
        for reviewer in PITCHES
        for about in PITCHES
        if reviewer != about
    ]
    decision = {"approved_trades": [], "rejected_trades": [], "dissent_summary": "none", "monitoring_plan": "none"}
    record = {
        "kind": "council",
        "no_decision": None,
        "user_query": "What to hold?",
        "facts": {
            "as_of": "2024-06-03T08:00-04:00",
            "symbols": {s: {"close": 100.0, "atr_14": 1.0} for s in ("SPY", "QQQ")},
        },
        "seats": {},
        "research": [],
        "pitches": [{"seat": seat, "keys": [], "answer": answer} for seat, answer in PITCHES.items()],
        "reviews": reviews,
        "chairman": {"seat": "chairman", "keys": [], "answer": decision},
        **changes,
    }
    return restore_meeting(AS_OF, json.loads(json.dumps(record)))


def approved(meeting: PipelineContext) -> dict[str, int]:
    assert meeting.no_decision is None
    assert meeting.chairman_decision is not None
    assert meeting.chairman_decision.value is not None
    return {trade.instrument: trade.conviction for trade in meeting.chairman_decision.value.approved_trades}


def test_the_vote_weighs_convictions_by_their_scores(spec: CouncilSpec) -> None:
    assert approved(variants.drop_chairman(hand_made(), spec)) == {"SPY": 1}


def test_without_reviews_every_pitch_counts_as_it_says(spec: CouncilSpec) -> None:
    # SPY 2 + 2 − 1 = 3, QQQ 1
    assert approved(variants.drop_reviews(hand_made(), spec)) == {"SPY": 2, "QQQ": 1}


def test_a_majority_counts_heads(spec: CouncilSpec) -> None:
    # SPY two for, one against, of five; QQQ one for, none against.
    assert approved(variants.count_heads(hand_made(), spec)) == {"SPY": 1, "QQQ": 1}
    three = [{"seat": seat, "keys": [], "answer": PITCHES[seat]} for seat in "abc"]
    assert approved(variants.count_heads(hand_made(pitches=three), spec)) == {"SPY": 2}
    two = [{"seat": seat, "keys": [], "answer": PITCHES[seat]} for seat in "ac"]
    assert approved(variants.count_heads(hand_made(pitches=two), spec)) == {}


@pytest.mark.parametrize(
    ("seat", "expected", "net"),
    [
        ("a", {"SPY": 1}, "+1.33"),  # b is now 7: 2·7/6 − 1
        ("b", {}, ""),  # 2·3/6 − 1 = 0
        ("c", {"SPY": 1}, "+2.89"),  # b is (3 + 7 + 7)/3: 1 + 1.889
        ("d", {"SPY": 1}, "+1.89"),
        ("e", {"SPY": 1}, "+1.89"),
    ],
)
def test_leaving_a_manager_out_takes_its_pitch_and_its_reviews(
    seat: str, expected: Mapping[str, int], net: str, spec: CouncilSpec
) -> None:
    left = variants.drop_seat(hand_made(), seat, spec)
    assert approved(left) == expected
    assert left.chairman_decision is not None
    assert left.chairman_decision.value is not None
    assert [trade.rationale.split()[2] for trade in left.chairman_decision.value.approved_trades] == (
        [net] if net else []
    )


def test_a_manager_alone_trades_its_own_pitch(spec: CouncilSpec) -> None:
    assert approved(variants.follow_manager(hand_made(), "c", spec)) == {"SPY": -1}
    assert approved(variants.follow_manager(hand_made(), "e", spec)) == {}
    silent = hand_made(pitches=[{"seat": "a", "keys": [], "error": "refused"}])
    assert variants.follow_manager(silent, "a", spec).no_decision == "a gave no pitch"


def test_a_failed_chairman_is_replaced_by_the_vote_and_a_missed_quorum_is_not(spec: CouncilSpec) -> None:
    failed = {"seat": "chairman", "keys": [], "error": "not JSON"}
    lost = hand_made(chairman=failed, no_decision="chairman: no decision that could be used (not JSON)")
    assert approved(variants.drop_chairman(lost, spec)) == {"SPY": 1}
    few = hand_made(chairman=None, no_decision="pitch: 2 of 5 answers could be used, quorum 3")
    for decided in (variants.drop_chairman, variants.drop_reviews, variants.count_heads):
        assert decided(few, spec).no_decision == few.no_decision
    assert variants.drop_seat(few, "a", spec).no_decision == few.no_decision


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "member"},
        {"pitches": [{"seat": "a", "keys": [], "answer": pitch("SPY", "LONG", -2)}]},
        {"pitches": [{"seat": "a", "keys": []}]},
        {"reviews": None},
    ],
)
def test_what_is_no_record_of_a_meeting_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="is no record of a meeting"):
        hand_made(**changes)


def test_a_recalled_meeting_has_the_record_it_was_recalled_from(run: simulator.Run, case: Case) -> None:
    rows = [row for row in run.records if row["record"]["kind"] == "council"]
    assert len(rows) == len(case.meetings) == 26
    for row, meeting in zip(rows, case.meetings, strict=True):
        assert json.loads(json.dumps(evidence(meeting, case.council.setup))) == row["record"]


def played(case: Case, strategy: Strategy, inputs: ReplayInputs | None = None) -> Replayed:
    with asyncio.Runner() as loop:
        opinions = dict(enumerate(case.meetings))
        return play(strategy, inputs or case.at_meetings, case.rules, case.cash, opinions, lambda *_: None, loop)


def test_a_manager_alone_decides_as_its_account_does(case: Case) -> None:
    book = Book(case.cash, {}, {}, case.cash)

    async def both(seat: str) -> None:
        for snapshot, meeting in zip(case.at_meetings.snapshots, case.meetings, strict=True):
            own = case.council.member(seat).decide(snapshot, meeting, book, ())
            alone = variants.follow_manager(meeting, seat, case.council.spec)
            followed = case.council.decide(snapshot, alone, book, ())
            wanted = [
                {t.symbol: (t.weight, t.order, t.limit, t.stop, t.take_profit) for t in decision.targets}
                for decision in (own, followed)
            ]
            assert wanted[0] == wanted[1]

    for seat in case.council.members:
        asyncio.run(both(seat))


def test_the_vote_is_what_a_council_without_a_chairman_decides_whatever_the_chairman_said(
    run: simulator.Run, found: Workspace, tmp_path: Path
) -> None:
    copy = found.root / "strategies" / "leaderless"
    shutil.copytree(found.root / "strategies" / "macro_council", copy)
    text = (copy / "strategy.yaml").read_text()
    head, chairman, tail = text.partition("  chairman: #")
    (copy / "strategy.yaml").write_text(head + chairman + tail.replace("enabled: true", "enabled: false", 1))
    leaderless = simulator.run("leaderless", ["SPY", "QQQ"], *PERIOD, workspace=found.root)
    assert '"stage":"chairman"' not in (leaderless.folder / "llm_calls.jsonl").read_text()

    folder = tmp_path / run.folder.name
    shutil.copytree(run.folder, folder)
    lines = (folder / "decisions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        if row["record"]["kind"] == "council":
            row["record"]["chairman"]["answer"] |= {"approved_trades": [], "rejected_trades": []}
    (folder / "decisions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    case = open_case(folder, found)
    spec = case.council.spec
    voted = [variants.drop_chairman(meeting, spec) for meeting in case.meetings]
    theirs = [row["record"] for row in leaderless.records if row["record"]["kind"] == "council"]
    assert any(approved(meeting) for meeting in voted)
    for meeting, record in zip(voted, theirs, strict=True):
        decided = record["chairman"]["answer"]["approved_trades"]
        assert approved(meeting) == {trade["instrument"]: trade["conviction"] for trade in decided}


def noise_after(bars: Bars, row: int) -> Bars:
    random = np.random.default_rng(7)
    arrays = {name: np.array(getattr(bars, name)) for name in FIELDS}
    for t in range(row, len(bars)):
        low, one, two, high = np.sort(random.uniform(50.0, 1000.0, (4, len(bars.symbols))), axis=0)
        arrays["open"][t], arrays["high"][t], arrays["low"][t], arrays["close"][t] = one, high, low, two
    return replace(bars, **arrays)


def test_the_best_manager_is_chosen_by_what_was_known_at_the_meeting(case: Case) -> None:
    inputs = case.at_meetings
    split = 15
    row = int(np.searchsorted(inputs.bars.closes_at, inputs.instants[split], side="right"))
    later = replace(inputs, bars=noise_after(inputs.bars, row))

    def choices(on: ReplayInputs) -> tuple[str | None, ...]:
        books = {seat: played(case, case.council.member(seat), on).ledger.equity for seat in case.council.members}
        return variants.best_managers(on, books)

    true, altered = choices(inputs), choices(later)
    assert true[: variants.FEWEST_MEETINGS] == (None,) * variants.FEWEST_MEETINGS
    assert None not in true[variants.FEWEST_MEETINGS :]
    assert true[: split + 1] == altered[: split + 1]
    assert true[split + 1 :] != altered[split + 1 :]


def test_the_choice_reads_the_close_before_the_meeting_and_none_after(case: Case) -> None:
    inputs, closes = case.at_meetings, case.at_meetings.traded.closes_at
    k = 12
    known = int(np.searchsorted(closes, inputs.instants[k], side="right"))
    flat = np.full(len(closes), case.cash)
    ahead, behind = flat.copy(), flat.copy()
    ahead[known - 1], behind[known:] = case.cash + 1, case.cash + 1000
    equity: dict[str, Floats] = {"even": flat, "late": behind, "ahead": ahead}
    assert variants.best_managers(inputs, equity)[k] == "ahead"
    assert variants.best_managers(inputs, {"even": flat, "late": behind})[k] == "even"
    assert variants.best_managers(inputs, {"even": flat, "late": behind})[k + 1] == "late"


def test_every_variant_is_held_against_what_differs_from_it_in_one_thing(
    facts: dict[str, Any], run: simulator.Run
) -> None:
    against = {one["name"]: one["against"] for one in facts["variants"]}
    base = "no checkpoints" if facts["checkpoints"] else "as run"
    assert against.pop("as run") is None
    assert against.pop("no checkpoints", "as run") == "as run"
    assert (against.pop("no chairman"), against.pop("best single manager")) == (base, base)
    assert len(against) == 7
    assert set(against.values()) == {"no chairman"}
    own = facts["variants"][0]["metrics"]
    assert own["total_return"] == pytest.approx(run.metrics["total_return"], rel=1e-9)
    assert own["sharpe"] == pytest.approx(run.metrics["sharpe"], rel=1e-9)
    judged = facts["variants"][0]
    assert judged["skill"]["beyond"] == pytest.approx(run.facts["skill"]["beyond"], abs=1e-12)
    assert judged["judgement"] == describe_skill(judged["skill"])


def test_the_offline_chairman_votes_so_its_absence_changes_nothing(facts: dict[str, Any]) -> None:
    one = next(one for one in facts["variants"] if one["name"] == "no chairman")
    assert (one["meetings_changed"], one["verdict"]) == (0, "the same trades")


def test_a_verdict_follows_from_its_interval(facts: dict[str, Any]) -> None:
    pairs = [one for one in facts["variants"] if one["pair"] and one["pair"]["p"] is not None]
    assert len(pairs) == facts["compared"] > 0
    for one in pairs:
        pair = one["pair"]
        assert pair["p"] <= pair["p_adjusted"] <= 1
        assert pair["sharpe_low"] < pair["sharpe"] < pair["sharpe_high"]
        covers = pair["sharpe_low"] <= 0 <= pair["sharpe_high"]
        assert (one["verdict"] == "cannot tell them apart") == covers


def test_a_pair_is_the_test_of_the_statistics_room_with_the_reference_first() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(0.0005, 0.01, 500)
    better, free = common + rng.normal(0.002, 0.002, 500), np.full(500, 0.0001)
    pair, known = compare_returns(better, common, free), compare(better, common, free)
    assert not isinstance(known, Undefined)
    assert (pair.sharpe, pair.sharpe_low, pair.p) == (known.difference, known.low, known.p)
    assert pair.annual_return == pytest.approx(252 * (better - common).mean())
    assert pair.annual_return_low is not None
    assert pair.annual_return_high is not None
    assert 0 < pair.annual_return_low < pair.annual_return < pair.annual_return_high
    assert adjust_pairs({"one": pair})["one"].verdict("it") == "better with it"
    assert adjust_pairs({"one": compare_returns(common, better, free)})["one"].verdict("it") == "worse with it"
    crowd = {"one": replace(pair, p=0.01), **{str(n): replace(pair, p=0.9) for n in range(9)}}
    assert adjust_pairs(crowd)["one"].p_adjusted == pytest.approx(0.1)
    assert adjust_pairs(crowd)["one"].verdict("it") == "apart before adjusting"


def test_accounts_that_differ_in_one_session_are_not_judged() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(0.0005, 0.01, 250)
    second = first.copy()
    second[100] += 0.01
    pair = compare_returns(first, second, np.zeros(250))
    assert (pair.p, pair.sharpe_low) == (None, None)
    assert pair.reason is not None
    assert "too few sessions" in pair.reason
    assert pair.verdict("it") == "cannot be compared"


def test_nobody_is_asked_and_no_answer_on_disk_is_read(
    run: simulator.Run, workspace_of_a_run: Path, facts: dict[str, Any]
) -> None:
    hidden = workspace_of_a_run / "llm_cache"
    hidden.rename(workspace_of_a_run / "hidden")
    try:
        words = ["ablate", run.facts["run_id"], "--json", "--workspace", str(workspace_of_a_run)]
        done = subprocess.run([sys.executable, "-c", NOBODY, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert not hidden.exists()
    finally:
        (workspace_of_a_run / "hidden").rename(hidden)
    said = json.loads(done.stdout)
    assert said.pop("page") == str(run.folder / "ablation.html")
    assert said == facts
    assert json.loads((run.folder / "ablation.json").read_text()) == facts


def test_the_page_stands_alone_and_shows_every_variant(facts: dict[str, Any]) -> None:
    html = page(facts).decode()
    assert page(facts).decode() == html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    for one in facts["variants"]:
        assert f">{one['name']}" in html
        assert one["verdict"] is None or one["verdict"] in html


def test_the_table_fits_eighty_columns(run: simulator.Run, workspace_of_a_run: Path, sim: Sim) -> None:
    done = sim("ablate", run.facts["run_id"], "--workspace", workspace_of_a_run, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert "cannot tell them apart" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if not line.startswith("page: ")) <= 80


@pytest.fixture
def torn(run: simulator.Run, workspace: Path) -> Path:
    """The run in a workspace of its own, to be changed."""
    folder = workspace / "reports" / run.folder.name
    shutil.copytree(run.folder, folder)
    return folder


def test_bars_strategy_or_evidence_that_changed_since_are_refused_in_one_line(
    torn: Path, workspace: Path, sim: Sim
) -> None:
    again = "sim run --strategy macro_council --symbols SPY,QQQ --from 2024-01-02 --to 2024-06-28"

    def refused(said: str, *options: str) -> None:
        done = sim("ablate", "last", *options, cwd=workspace)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
        assert said in done.stderr
        assert again in done.stderr

    prompt = workspace / "strategies" / "macro_council" / "prompts" / "pitch.md"
    text = prompt.read_text()
    prompt.write_text(text + "\nBe brief.\n")
    refused("strategies/macro_council/prompts/pitch.md has changed since run")
    prompt.write_text(text)

    events = workspace / "data" / "events.csv"
    listed = events.read_text()
    events.write_text("".join(listed.splitlines(keepends=True)[:-1]))
    refused("bars or events have changed since run")
    events.write_text(listed)

    equity = torn / "equity.csv"
    rows = equity.read_text().splitlines()
    first = rows[1].split(",")
    equity.write_text("\n".join([rows[0], ",".join([first[0], "99999.0", *first[2:]]), *rows[2:]]) + "\n")
    refused("equity.csv has changed since the run was made")
    refused("its decisions, replayed, do not give its equity", "--force")

    lines = (torn / "decisions.jsonl").read_text().splitlines(keepends=True)
    (torn / "decisions.jsonl").write_text("".join(lines[:-1]))
    refused("decisions.jsonl has changed since the run was made; equity.csv has changed")
    refused("decides on other dates", "--force")


def test_a_rule_has_no_votes_to_count_again(workspace: Path) -> None:
    made = simulator.run("sma_cross", ["SPY"], "2024-01-02", "2024-03-28", workspace=workspace)
    with pytest.raises(UsageError, match="sma_cross is no council"):
        ablate(made.folder, find_workspace(workspace))


def test_a_partial_run_is_taken_apart_as_far_as_it_goes(serve: Serve, workspace: Path) -> None:
    seat_models(workspace, serve("--latency", 0).url)
    with pytest.raises(PartialRunError) as caught:
        simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace, models="dry", max_cost=1.0)
    made = caught.value.run
    facts = ablate(made.folder, find_workspace(workspace))
    assert facts["partial"] is True
    assert 0 < facts["meetings"] < 26
    assert facts["variants"][0]["metrics"]["total_return"] == pytest.approx(made.metrics["total_return"], rel=1e-9)
    assert any("the run is partial" in note for note in facts["notes"])
