"""From the text of a service over HTTP to the fills of a run: no draft, example, cut or doubtful answer is traded."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.council.analysts import RULES
from simulator.errors import CacheMissError
from simulator.llm.answers import REPAIR
from simulator.llm.cache import AnswerCache
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import Offline

from ..conftest import listening
from ..council.answer_forms import ASKED, READ, Form, opposite, text
from .conftest import evidence, seat_models

pytestmark = pytest.mark.medium

SPOILED = ("Pitch", "ChairmanDecision")


def long_spy(prompt: Any) -> dict[str, Any]:
    close = prompt["facts"]["market"]["symbols"]["SPY"]["close"]
    return {
        "instrument": "SPY",
        "direction": "LONG",
        "horizon": "2 weeks",
        "thesis_bullets": ["one", "two", "three"],
        "indicators": ["close"],
        "conviction": 2,
        "invalidation": "never",
        "stop": round(0.8 * close, 2),
        "target": round(1.2 * close, 2),
    }


def approve_spy(_: Any) -> dict[str, Any]:
    trade = {"instrument": "SPY", "direction": "LONG", "conviction": 2, "position_size": "20%", "rationale": "all"}
    plans = {"dissent_summary": "none", "monitoring_plan": "CPI"}
    return {"approved_trades": [trade], "rejected_trades": [], **plans}


class Writer:
    """The analysts, who all buy SPY, and write pitches and decisions in `form`; `stubborn` also when asked again."""

    name = "writer"

    def __init__(self, form: Form | None, finish: str = "stop", *, stubborn: bool = False) -> None:
        managers = {f"{name}/Pitch": long_spy for name in ("trend", "reversion", "risk", "carry", "breakout")}
        self.rules = Offline({**RULES, **managers, "chairman/ChairmanDecision": approve_spy}, "rehearsal")
        self.form, self.finish, self.stubborn = form, finish, stubborn
        self.repairs: list[str] = []

    async def ask(self, request: ChatRequest) -> ChatResponse:
        response = await self.rules.ask(request)
        said = request.messages[-1].content
        repair = REPAIR in said
        if repair:
            self.repairs.append(said)
        title = (request.schema or {}).get("title")
        if self.form is None or title not in SPOILED or (repair and not self.stubborn):
            return response
        answer = json.loads(response.text)
        spoiled = self.form(answer, text(opposite(answer)))
        return response if spoiled is None else replace(response, text=spoiled, finish=self.finish)


Run = Callable[..., tuple[simulator.Run, Writer]]


@pytest.fixture
def council(workspace: Path, service_loop: asyncio.AbstractEventLoop) -> Iterator[Run]:
    """``council(form, …)``: a run whose managers and chairman write so, and who wrote it."""
    with ExitStack() as running:

        def run(form: Form | None, finish: str = "stop", **how: Any) -> tuple[simulator.Run, Writer]:
            writer = Writer(form, finish, **how)
            service = running.enter_context(listening(service_loop, FakeService(writer, Behaviour(latency_s=0.0))))
            seat_models(workspace, service.url)
            return command(workspace), writer

        yield run


def command(workspace: Path, **changes: Any) -> simulator.Run:
    words: dict[str, Any] = {"start": "2024-01-02", "end": "2024-01-12", "symbols": ["SPY"], "models": "dry"}
    return simulator.run(**{**words, "max_cost": 50.0, **changes}, workspace=workspace)


def sides(run: simulator.Run) -> set[str]:
    """Sides of the council's fills."""
    rows = csv.DictReader((run.folder / "fills.csv").read_text().splitlines())
    return {"buy" if float(row["quantity"]) > 0 else "sell" for row in rows}


@pytest.fixture(scope="module")
def meant(tmp_path_factory: pytest.TempPathFactory, service_loop: asyncio.AbstractEventLoop) -> bytes:
    """The fills of the answers as they were meant."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("meant") / "lab"
    make_workspace(folder, git=False)
    with listening(service_loop, FakeService(Writer(None), Behaviour(latency_s=0.0))) as service:
        seat_models(folder, service.url)
        done = command(folder)
    assert sides(done) == {"buy"}
    return (done.folder / "fills.csv").read_bytes()


@pytest.mark.fault("answers", "a draft of the opposite in <think>, a slip in the answer", "the answer is traded")
@pytest.mark.parametrize(
    "form",
    ["a draft in <think>, the answer with a slip", "trailing commas everywhere", "choices as orders", "curly quotes"],
)
def test_what_means_one_thing_is_traded_without_a_second_question(council: Run, meant: bytes, form: str) -> None:
    done, writer = council(READ[form])
    assert (done.folder / "fills.csv").read_bytes() == meant
    assert writer.repairs == []
    (first, *_) = done.records[0]["record"]["pitches"]
    assert bool(first.get("fixes")) is (form != "plain")


@pytest.mark.fault("answers", "an earlier object fits and says the opposite of a last one that does not", "asked about")
@pytest.mark.parametrize(
    ("form", "finish"),
    [
        ("the opposite fits, the last object is broken", "stop"),
        ("two different answers, one with a slip", "stop"),
        ("the opposite whole, the answer cut", "length"),
        ("a key given twice with different values", "stop"),
        ("sell", "stop"),
    ],
)
def test_what_may_mean_two_things_is_asked_about_and_then_traded_as_said(
    council: Run, meant: bytes, form: str, finish: str
) -> None:
    done, writer = council(ASKED[form], finish)
    assert (done.folder / "fills.csv").read_bytes() == meant
    assert writer.repairs


@pytest.mark.fault("answers", "an answer that stays doubtful when asked again", "not traded")
@pytest.mark.parametrize(
    "form", ["two different answers", "an answer and an open thought", "a draft alone in an object"]
)
def test_what_stays_doubtful_is_not_traded(council: Run, form: str) -> None:
    done, writer = council(ASKED[form], stubborn=True)
    assert sides(done) == set()
    assert writer.repairs


@pytest.mark.fault("answers", "1e999, NaN or Infinity for a price", "refused; a rerun comes to the same")
def test_a_price_that_is_not_finite_is_refused_and_a_rerun_comes_to_the_same(council: Run, workspace: Path) -> None:
    done, writer = council(ASKED["1e999 for a price"], stubborn=True)
    assert sides(done) == set()
    assert "1e999 is not finite, at line 1, column" in writer.repairs[0]
    again = command(workspace)
    assert again.runtime["asked"] == 0
    assert evidence(again.folder) == evidence(done.folder)


@pytest.mark.fault(
    "answers",
    "a stop or target that is not from 1/5 to 5 times the last close, or on its wrong side",
    "asked about, the close named",
)
def test_the_repair_question_names_the_close_that_a_price_does_not_fit(council: Run, meant: bytes) -> None:
    done, writer = council(ASKED["prices a hundred times too small"])
    assert (done.folder / "fills.csv").read_bytes() == meant
    assert "is not from 1/5 to 5 times the last close of SPY, 4" in writer.repairs[0]


@pytest.mark.fault("answers", "an answer stored as unusable that can be read today", "read anew, nothing is asked")
@pytest.mark.parametrize("mode", ["replay", "record", "retry"])
def test_answers_stored_as_unusable_are_read_anew_and_nothing_is_asked(
    council: Run, workspace: Path, meant: bytes, mode: str
) -> None:
    """As an earlier version left them: the slip in both answers, the second marked unusable after a question that
    named no reason."""
    council(READ["trailing commas everywhere"])
    spoil_as_before(workspace / "llm_cache")
    again = command(workspace, cache=mode)
    assert again.runtime["asked"] == 0
    assert (again.folder / "fills.csv").read_bytes() == meant
    assert again.facts["shortfalls"]["failed"] == []


def spoil_as_before(folder: Path) -> None:
    """Make the first answer to each pitch one that nobody can read, and its repair the answer with a slip."""
    with AnswerCache(folder) as cache:
        for entry in list(cache.entries()):
            if entry.purpose.get("stage") != "pitch":
                continue
            request = request_of(entry.request, dict(entry.purpose))
            first = replace(entry.response, text="I would rather not say.")
            asked = replace(
                request,
                messages=(
                    *request.messages,
                    type(request.messages[0])("assistant", first.text),
                    type(request.messages[0])("user", f"{REPAIR}no reason of today. Answer again."),
                ),
                purpose={**entry.purpose, "repair": "1"},
            )
            cache.put(request, first, replace=True)
            cache.put(asked, replace(entry.response, outcome="unusable"), replace=True)


def request_of(content: Any, purpose: dict[str, str]) -> ChatRequest:
    from simulator.llm.messages import Message

    named = {name: one for name, one in content.items() if name not in ("format", "messages", "tools", "stop")}
    messages = tuple(Message(**one) for one in content["messages"])
    request = ChatRequest(messages=messages, purpose=purpose, **named)
    assert request.canonical() == content
    return request


def test_a_replay_that_lacks_the_repair_question_says_so(council: Run, workspace: Path) -> None:
    done, _ = council(ASKED["two different answers"])
    assert done.runtime["asked"] > 28
    with AnswerCache(workspace / "llm_cache") as cache:
        kept = [one for one in cache.entries() if "repair" not in one.purpose]
    for file in (workspace / "llm_cache").glob("cache.db*"):
        file.unlink()
    with AnswerCache(workspace / "llm_cache") as cache:
        cache.put_entries(kept)
    with pytest.raises(CacheMissError):
        command(workspace, cache="replay")
