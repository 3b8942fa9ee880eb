"""The `claude` command as a provider, played by a fake of that name on PATH."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simulator.config import Seat
from simulator.errors import ConfigError, LLMError, UnansweredError
from simulator.llm.answers import StructuredAnswer
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import Provider, TransientError, free
from simulator.llm.providers.claude_code import ClaudeCode, prompt_of, seconds_until_reset
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import providers_for, request_for
from simulator.llm.retries import Retry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script with a #! line")

FAKE = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
told = sys.stdin.read()
seen = {{"words": sys.argv[1:], "prompt": told, "folder": os.listdir("."), "cwd": os.getcwd(),
        "max": os.environ.get("CLAUDE_CODE_MAX_OUTPUT_TOKENS"), "session": os.environ.get("CLAUDECODE")}}
with (here / "seen.jsonl").open("a") as out:
    out.write(json.dumps(seen) + "\\n")
exec((here / "act.py").read_text())
"""


class Vote(BaseModel):
    conviction: int


class Fake:
    """A `claude` that does what `act` says, in Python, and keeps how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = folder / "claude"
        command.write_text(FAKE)
        command.chmod(0o755)

    def act(self, code: str) -> None:
        (self.folder / "act.py").write_text(code)

    def answer(self, **envelope: Any) -> None:
        self.act(f"print({json.dumps(envelope)!r})")

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Fake(folder)


def envelope(**more: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": '{"conviction": 2}',
        "stop_reason": "end_turn",
        "total_cost_usd": 0.0079,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 15635, "output_tokens": 6},
        "modelUsage": {"claude-haiku-4-5-20251001": {}},
        **more,
    }


def question(**fields: Any) -> ChatRequest:
    return ChatRequest("claude_code", "haiku", (Message("system", "Be brief."), Message("user", "buy?")), **fields)


def ask(request: ChatRequest, timeout_s: float = 20.0, **options: Any) -> ChatResponse:
    return asyncio.run(ClaudeCode(timeout_s, **options).ask(request))


def test_it_is_a_provider_and_chosen_by_its_seats() -> None:
    chosen = providers_for({"*": Seat(provider="claude_code", model="haiku", timeout_s=7)}, Offline({}, ""), free)
    assert isinstance(chosen["claude_code"], Provider)
    assert isinstance(chosen["claude_code"], ClaudeCode)
    assert chosen["claude_code"]._timeout_s == 7


def test_a_success_brings_text_model_tokens_and_cost(fake: Fake) -> None:
    fake.answer(**envelope())
    response = ask(question())
    assert (response.text, response.outcome, response.model) == (
        '{"conviction": 2}',
        "answer",
        "claude-haiku-4-5-20251001",
    )
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (15638, 6)
    assert (response.usage.cost_usd, response.finish) == (0.0079, "end_turn")
    assert response.latency_s > 0
    assert response.asked_at.endswith("Z")


@pytest.mark.fault(
    "answers", "`claude` asked a small helper model too", "the model with the most output tokens is the one that served"
)
@pytest.mark.parametrize(
    ("used", "served"),
    [
        (
            {"claude-haiku-4-5": {"outputTokens": 12}, "claude-opus-4-5-20251101": {"outputTokens": 700}},
            "claude-opus-4-5-20251101",
        ),
        ({"claude-opus-4-5": {"outputTokens": 700}, "claude-haiku-4-5": {"outputTokens": "12"}}, "claude-opus-4-5"),
        ({"claude-haiku-4-5": None}, "claude-haiku-4-5"),
        ({}, ""),
        ("haiku", ""),
        (None, ""),
    ],
)
def test_the_model_that_wrote_most_is_the_one_that_served(fake: Fake, used: object, served: str) -> None:
    fake.answer(**envelope(modelUsage=used))
    assert ask(question()).model == served


def test_it_is_called_with_a_list_of_words_in_an_empty_folder_and_the_prompt_on_stdin(fake: Fake) -> None:
    fake.answer(**envelope())
    ask(question(max_tokens=900, extra={"arguments": ["--safe-mode", "$(touch /tmp/no)"]}))
    (seen,) = fake.seen
    assert seen["words"][:6] == ["-p", "--output-format", "json", "--model", "haiku", "--max-turns"]
    assert seen["words"][-2:] == ["--safe-mode", "$(touch /tmp/no)"]
    assert "WebSearch" in seen["words"][seen["words"].index("--disallowedTools") + 1]
    assert (seen["prompt"], seen["folder"], seen["max"]) == ("Be brief.\n\nbuy?", [], "900")
    assert not Path(seen["cwd"]).exists()


def test_a_repair_question_says_who_said_what_and_a_schema_stands_at_the_end() -> None:
    messages = (*question().messages, Message("assistant", "two"), Message("user", "again"))
    text = prompt_of(ChatRequest("claude_code", "haiku", messages, schema={"title": "Vote"}))
    assert text.startswith(
        "# Instructions\n\nBe brief.\n\n# Question\n\nbuy?\n\n# Your answer\n\ntwo\n\n# Question\n\nagain"
    )
    assert text.endswith('{"title":"Vote"}')


def test_what_is_printed_around_the_envelope_does_no_harm(fake: Fake) -> None:
    fake.act(f"print('a warning'); print({json.dumps(envelope())!r})")
    assert ask(question()).text == '{"conviction": 2}'
    fake.act(f"print({json.dumps([{'type': 'system'}, envelope()])!r})")
    assert ask(question()).text == '{"conviction": 2}'


def test_a_cost_that_is_not_told_is_worked_out(fake: Fake) -> None:
    fake.answer(**{name: value for name, value in envelope().items() if name != "total_cost_usd"})
    assert (
        ask(question(), price=lambda _, prompt, completion, *__, **___: prompt + completion / 10).usage.cost_usd
        == 15638.6
    )


def test_cut_off_and_refused_are_answers_that_were_paid_for(fake: Fake) -> None:
    fake.answer(**envelope(stop_reason="max_tokens"))
    assert ask(question()).finish == "length"
    fake.answer(**envelope(stop_reason="refusal", result="no"))
    assert ask(question()).outcome == "refusal"


def put(fake_question: ChatRequest, cache: AnswerCache) -> tuple[StructuredAnswer[Vote], Gateway]:
    provider = ClaudeCode(20.0)
    gateway = Gateway(cache, {provider.name: provider}, retry=Retry((0.0, 0.0, 0.0)))
    return asyncio.run(gateway.ask_for(fake_question, Vote)), gateway


@pytest.mark.fault(
    "services",
    "`claude` needs more turns than the one it is given",
    "it is given 4, 16, at last no limit; never stored",
)
@pytest.mark.parametrize("enough", [4, 16, 0])
def test_the_limit_of_turns_makes_no_question_fail(fake: Fake, cache: AnswerCache, enough: int) -> None:
    ended = {**envelope(subtype="error_max_turns", is_error=True, stop_reason=None), "result": None}
    fake.act(
        f"""
turns = int(sys.argv[sys.argv.index("--max-turns") + 1]) if "--max-turns" in sys.argv else 0
print(json.dumps({envelope()} if turns == {enough} else {ended}).replace("None", "null"))
"""
    )
    answered, gateway = put(question(), cache)
    assert answered.value == Vote(conviction=2)
    assert (gateway.asked, len(cache.keys())) == (1, 1)
    paid = {4: 2, 16: 3, 0: 4}[enough]
    assert gateway.cost_usd == pytest.approx(paid * 0.0079)


def test_a_command_without_that_option_is_called_without_it(fake: Fake, cache: AnswerCache) -> None:
    fake.act(
        f"""
if "--max-turns" in sys.argv:
    sys.exit("error: unknown option '--max-turns'")
print({json.dumps(envelope())!r})
"""
    )
    assert put(question(), cache)[0].value == Vote(conviction=2)


@pytest.mark.fault(
    "services",
    "`claude` says in its result that it failed: nothing at all, an API error, a limit",
    "asked again, never stored; a limit says until when",
)
@pytest.mark.parametrize(
    "result", ["", "\n", "API Error: 529 Overloaded", 'API Error: 500 {"type":"error"}', "Rate limit exceeded"]
)
def test_a_success_that_says_it_failed_is_not_stored(fake: Fake, cache: AnswerCache, result: str) -> None:
    fake.answer(**envelope(result=result))
    with pytest.raises(UnansweredError, match="no answer after 4 attempts"):
        put(question(), cache)
    assert cache.keys() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("You've hit your limit · resets 1pm (UTC)", 3600),
        ("You've hit your limit · resets 12:30pm (UTC)", 1800),
        ("You've hit your session limit ∙ resets 5am (America/New_York)", 79200),
        ("You've reached your weekly limit · resets Jan 5, 3am (UTC)", 4 * 86400 - 9 * 3600),
        ("You've hit your limit · resets Jan 1 at 11:00 (UTC)", 365 * 86400 - 3600),
        ("limit reached, resets in 2h 5m", 7500),
        ("limit reached, resets in 40 minutes", 2400),
        ("You've hit your limit · resets 25pm", 3600),
        ("You've hit your limit · resets 1pm (Nowhere/Atall)", 3600),
        ("You've hit your limit · resets 1pm (America)", 3600),
        ("You've hit your limit · resets Feb 29, 1pm (UTC)", 3600),
        ("limit reached, resets in " + "9" * 400 + "h", 3600),
        ("You've hit your limit", 3600),
    ],
)
def test_the_time_of_a_reset_is_read(text: str, seconds: float) -> None:
    assert seconds_until_reset(text, datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) == seconds


@pytest.mark.fault("services", "`claude`: You've hit your limit · resets 1pm", "one line that says until when, at once")
@pytest.mark.parametrize("is_error", [True, False])
def test_a_limit_says_until_when_and_is_not_asked_again(fake: Fake, cache: AnswerCache, is_error: bool) -> None:
    fake.answer(**envelope(is_error=is_error, result="You've hit your limit · resets in 3h"))
    with pytest.raises(
        UnansweredError, match=r"resets in 3h\); it asks to be left alone until 20\d\d-.* UTC"
    ) as caught:
        put(question(), cache)
    assert "no answer after 1 attempt " in str(caught.value)
    assert (len(fake.seen), cache.keys()) == (1, [])


@pytest.mark.fault(
    "services",
    "`claude` names a part of the world as its zone: resets 1pm (America)",
    "one line that says it as it was told, exit 4",
)
def test_a_reset_in_no_zone_is_said_as_it_was_told(fake: Fake, cache: AnswerCache) -> None:
    fake.answer(**envelope(is_error=True, result="You've hit your limit · resets 1pm (America)"))
    with pytest.raises(UnansweredError, match=r"resets 1pm \(America\)\); it asks to be left alone until") as caught:
        put(question(), cache)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("told", "failed"), [("false", False), ("no", False), (0, False), ("true", True), (1, True)])
def test_is_error_may_be_told_as_text(fake: Fake, told: object, failed: bool) -> None:
    fake.answer(**envelope(is_error=told))
    if failed:
        with pytest.raises(LLMError):
            ask(question())
    else:
        assert ask(question()).outcome == "answer"


@pytest.mark.medium
@pytest.mark.fault(
    "services",
    "a child of `claude` lives on and holds its stdout open",
    "read when `claude` has ended; the child is ended",
)
@pytest.mark.parametrize("hangs", [False, True], ids=["ends", "hangs after its result"])
def test_a_child_that_holds_stdout_open_costs_no_time_out(fake: Fake, tmp_path: Path, hangs: bool) -> None:
    fake.act(
        f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
print({json.dumps(envelope())!r}, flush=True)
time.sleep(60 * {hangs:d})
"""
    )
    started = time.monotonic()
    assert ask(question()).text == '{"conviction": 2}'
    assert time.monotonic() - started < 30
    assert _ended(int((tmp_path / "child").read_text()))


@pytest.mark.medium
@pytest.mark.fault(
    "services",
    "`claude` prints a BOM, colours, notices or pretty JSON, or fills structured_output",
    "the result is found in it",
)
def test_the_result_is_found_in_whatever_is_printed(fake: Fake) -> None:
    pretty, plain = json.dumps(envelope(), indent=2), json.dumps(envelope())
    for printed in (
        "\ufeff" + plain,
        f"\x1b[33mUpdate available\x1b[0m\n{pretty}\n\x1b]0;title\x07",
        f"[warn] {{not json}}\nUpdate {{available}}\n{pretty}\nbye",
        f"\x1b[2m{plain}\x1b[22m",
        f"A new version is there. {plain}",
        json.dumps([{"type": "system"}, envelope()], indent=1),
        '{"type": "system", "session": 1}\n' + plain,
    ):
        fake.act(f"sys.stdout.buffer.write({printed!r}.encode())")
        assert ask(question()).text == '{"conviction": 2}', printed
    for more in ({"result": ""}, {"result": "Done."}, {"result": None}):
        fake.answer(**envelope(structured_output={"conviction": 1}, **more))
        assert ask(question()).text == '{"conviction": 1}'


@pytest.mark.fault("services", "a run is started inside a session of `claude`", "the command does not see the session")
def test_the_command_does_not_see_the_session_it_is_started_in(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    fake.answer(**envelope())
    ask(question())
    assert fake.seen[-1]["session"] is None


@pytest.mark.parametrize(
    ("said", "throttled"),
    [("API Error: 529 Overloaded", False), ("API Error: 429 rate limit", True), ("Connection error.", False)],
)
def test_an_error_envelope_that_may_pass_is_transient(fake: Fake, said: str, throttled: bool) -> None:
    fake.answer(**envelope(is_error=True, result=said, total_cost_usd=0))
    with pytest.raises(TransientError) as caught:
        ask(question())
    assert (caught.value.throttled, caught.value.perhaps_paid) == (throttled, False)


def test_a_limit_that_is_used_up_says_when_it_ends(fake: Fake) -> None:
    fake.answer(**envelope(is_error=True, result=f"Claude AI usage limit reached|{int(time.time()) + 3600}"))
    with pytest.raises(TransientError, match="usage limit reached") as caught:
        ask(question())
    assert caught.value.retry_after == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('print(\'{"type": "result", "is_error": true, "result": "Invalid API key"}\')', "Invalid API key"),
        ("print('I am not JSON')", "printed what is no JSON envelope (I am not JSON)"),
        ("print('{\"a\": 1}')", "printed what is no JSON envelope"),
        ("pass", "printed what is no JSON envelope (nothing)"),
        ("sys.stderr.write('unknown option --model'); sys.exit(3)", "ended with 3 (unknown option --model)"),
    ],
)
def test_what_does_not_pass_is_one_line_and_not_asked_again(fake: Fake, code: str, said: str) -> None:
    fake.act(code)
    with pytest.raises(LLMError) as caught:
        ask(question())
    assert not isinstance(caught.value, TransientError)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.medium
def test_a_command_that_takes_too_long_is_killed_with_all_it_started(fake: Fake, tmp_path: Path) -> None:
    fake.act(
        f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
time.sleep(60)
"""
    )
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"no answer within 3 s") as caught:
        ask(question(), timeout_s=3.0)
    assert (caught.value.timed_out, caught.value.perhaps_paid) == (True, True)
    assert time.monotonic() - started < 30
    assert _ended(int((tmp_path / "child").read_text()))


def test_one_who_gives_up_leaves_no_command_behind(fake: Fake, tmp_path: Path) -> None:
    fake.act(f"Path({str(tmp_path / 'self')!r}).write_text(str(os.getpid())); time.sleep(60)")

    async def give_up() -> None:
        asking = asyncio.create_task(ClaudeCode().ask(question()))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if (tmp_path / "self").exists() and (tmp_path / "self").read_text():
                break
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(give_up())
    assert _ended(int((tmp_path / "self").read_text()))


def _ended(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if b") Z " in Path(f"/proc/{pid}/stat").read_bytes():
            return True
        time.sleep(0.01)
    return False


def test_a_missing_command_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no `claude` on PATH; `npm install -g @anthropic-ai/claude-code`"):
        ask(question())


@pytest.mark.parametrize("fields", [{"temperature": 0.7}, {"seed": 1}, {"stop": ("x",)}, {"extra": {"top_k": 1}}])
def test_settings_it_cannot_take_are_refused_rather_than_recorded(fake: Fake, fields: dict[str, Any]) -> None:
    fake.answer(**envelope())
    with pytest.raises(ConfigError, match="claude_code takes no "):
        ask(question(**fields))


def test_through_the_gateway_an_answer_is_paid_for_once(fake: Fake, cache: AnswerCache) -> None:
    seat = Seat(provider="claude_code", model="haiku")
    request = request_for(seat, [Message("user", "buy?")], {"title": "Vote"})
    assert not request.native_schema
    fake.answer(**envelope())
    for _ in range(2):
        gateway = Gateway(cache, providers_for({"*": seat}, Offline({}, ""), free), retry=Retry(()))
        answered = asyncio.run(gateway.ask_for(request, Vote))
        assert answered.value == Vote(conviction=2)
    assert len(fake.seen) == 1
    assert cache.stats().cost_usd == 0.0079
