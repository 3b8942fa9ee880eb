"""A run whose service answers with another model than was asked, and with text that would steer a terminal."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.council.analysts import RULES
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import Offline
from simulator.printing import printable
from simulator.workspace import make_workspace

from ..conftest import listening
from .conftest import PRICE, seat_models

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

HOSTILE = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202eTHGIR\u202c\u200b\x00\x08[bold]<b>x</b>"
SHOWN = "\\x1b[31m\\x1b]0;owned\\x07\\x9b2J\\u202eTHGIR\\u202c\\u200b\\x00\\x08[bold]"
WORDS = {"macro_regime", "top_narratives", "thesis_bullets", "invalidation", "kill_shot", "flip_condition", "rationale"}
WORDS |= {"reason", "dissent_summary", "monitoring_plan"}
WEEKS = ("--from", "2024-03-04", "--to", "2024-03-15", "--symbols", "SPY,QQQ", "--models", "dry")


class Hostile:
    """The analysts' answers with hostile words in them; `risk` is answered by a model of another name."""

    name = "hostile"
    honest = Offline(RULES, "rehearsal")

    async def ask(self, request: ChatRequest) -> ChatResponse:
        answer = json.loads((await self.honest.ask(request)).text)
        served = f"gpt-4o{HOSTILE}" if request.model == "risk" else f"{request.model}-2026-01-15"
        return ChatResponse(json.dumps(spoil(answer, "")), model=served)


def spoil(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: spoil(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [spoil(one, key) for one in value]
    return f"{value} {HOSTILE}" if key in WORDS else value


@pytest.fixture(scope="module")
def lab(service_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile") / "workspace"
    make_workspace(folder, git=False)
    service = FakeService(Hostile(), Behaviour(latency_s=0.0, usd_per_million=PRICE))
    with listening(service_loop, service) as at:
        seat_models(folder, at.url)
        yield folder


@pytest.fixture
def run(lab: Path, sim: Sim) -> Path:
    """The folder of the run; the first test that needs it makes it."""
    done = sim("run", *WEEKS, "--json", cwd=lab)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["dir"])


def test_what_a_model_says_steers_no_terminal_whatever_the_command(lab: Path, run: Path, sim: Sim) -> None:
    keys = [json.loads(line)["key"] for line in (run / "llm_calls.jsonl").read_text().split("\n") if line]
    commands = [
        ("run", *WEEKS, "--report", "md"),
        ("explain", "last"),
        ("explain", "last", "2024-03-11"),
        ("explain", "last", "2024-03-11", "--account", "CLAUDE"),
        ("ablate", "last"),
        ("check", "last", "--only", "cutoff,costs"),
        ("compare", "last", "last"),
        ("runs",),
        ("cache", "stats"),
        ("cache", "show", keys[-1]),
        ("cache", "diff", keys[0], keys[-1]),
        ("council", "run", "--as-of", "2024-03-11", "--models", "dry"),
        ("report", "last", "--format", "json"),
        ("explain", f"no{HOSTILE}"),
        (f"no{HOSTILE.replace(chr(0), '')}",),
    ]
    seen = ""
    for words in commands:
        words = tuple(word.replace("\0", "") for word in words)
        done = sim(*words, cwd=lab)
        for said in (done.stdout, done.stderr):
            assert printable(said) == said, words
        coloured = sim(*words, cwd=lab, env={"FORCE_COLOR": "1"}).stdout
        plain = re.sub(r"\x1b\[[\d;]*m", "", coloured)
        assert printable(plain) == plain, words
        seen += done.stdout
    unbroken = re.sub(r"\s+", "", seen)
    assert SHOWN in unbroken, "it is shown, not dropped"
    for words in (("explain", "last", "2024-03-11"), ("council", "run", "--as-of", "2024-03-11", "--models", "dry")):
        told = sim(*words, "--json", cwd=lab).stdout
        assert told.isascii()
        assert any(HOSTILE in one for one in strings(json.loads(told)))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


@pytest.mark.fault("answers", "an answer with bidi marks or NUL, in a report", "shown as escapes in page and Markdown")
def test_pages_and_markdown_hold_nothing_that_hides(lab: Path, run: Path, sim: Sim) -> None:
    assert sim("ablate", "last", cwd=lab).returncode == 0
    assert sim("report", "last", "--format", "md", cwd=lab).returncode == 0
    for name in ("report.html", "report.md", "ablation.html"):
        text = (run / name).read_text(encoding="utf-8")
        assert printable(text) == text, name
    page = (run / "report.html").read_text(encoding="utf-8")
    embedded = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    said = [one for script in embedded for one in strings(json.loads(script))]
    assert said
    assert all(printable(one) == one for one in said), "what the script puts on the page is printable too"
    assert any(SHOWN in one for one in said)


@pytest.mark.fault("answers", "the model in the answer is another than asked", "recorded per call; judged and shown")
def test_the_model_that_served_is_recorded_shown_and_judged(lab: Path, run: Path, sim: Sim) -> None:
    served = f"gpt-4o{HOSTILE}"
    calls = [json.loads(line) for line in (run / "llm_calls.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert {call["served"] for call in calls if call["model"] == "risk"} == {served}
    assert {call["served"] for call in calls if call["model"] == "trend"} == {"trend-2026-01-15"}
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["llm"]["served"]["pm.risk"] == [served]
    (warning,) = [note for note in facts["notes"] if note.startswith("warning: ")]
    assert warning.startswith(f"warning: risk was asked and {served} served (")
    models = {one["model"]: one["served"] for one in facts["contamination"]["models"]}
    assert models["risk"] == [served]
    told = " ".join(sim("run", *WEEKS, cwd=lab).stdout.split())
    assert "warning risk was asked and gpt-4o\\x1b[31m" in told
    assert "pm.trend · trend (served trend-2026-01-15)" in told
    assert told.index("(served trend-2026-01-15)") < told.index("(CHATGPT)")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "warning: risk was asked and gpt-4o\\x1b[31m" in page
    journal = next((lab / "logs" / "llm").glob("*.jsonl")).read_text(encoding="utf-8")
    assert journal.isascii()
    assert served in {json.loads(line)["served"] for line in journal.splitlines()}


def test_answers_of_before_still_hit_and_are_shown_as_not_recorded(workspace: Path, sim: Sim) -> None:
    cassette = workspace / "llm_cache" / "cassettes" / "small_council.jsonl"
    lines = [json.loads(line) for line in cassette.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        del line["response"]["model"]
    cassette.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert sim("cache", "import", "small_council", cwd=workspace).returncode == 0
    words = ("--strategy", "small_council", "--symbols", "SPY,QQQ", "--from", "2024-09-03", "--to", "2024-09-27")
    done = sim("run", *words, "--models", "local", "--cache", "replay", cwd=workspace, env={"COLUMNS": "100"})
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "pm.risk · local (served: not recorded) (CLAUDE)" in told
    assert "warning" not in told
    (run,) = (workspace / "reports").glob("*/")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["digest"] == "4f59cc9c99c5e7abb47a0a277b3fa5fded0692ee0d6ef10f2997af7760ef6eb1"
    assert facts["llm"]["served"]["pm.risk"] == [""]
    assert "not recorded" in (run / "report.html").read_text(encoding="utf-8")
    shown = sim("explain", "last", "2024-09-10", cwd=workspace).stdout
    assert "pm.risk · local (served: not recorded)" in " ".join(shown.split())
    assert "served (not recorded)" in sim("cache", "show", lines[0]["key"], cwd=workspace).stdout
