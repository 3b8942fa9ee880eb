"""The `claude` command, headless: ``claude -p --model haiku --output-format json``, the question on its stdin.

    ChatRequest ─► prompt ─► claude, in an empty folder ─► envelope ─► ChatResponse
                                 │ ended, result line read, or time-out: its process group is killed

It is an agent, not a bare model: it brings a prompt of its own and reads the user's settings. So that an answer about
the past cannot be looked up, it is given no tools, a folder with nothing in it, and one turn; more where one does not
do, as some settings of its user have it. It takes no temperature.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator.errors import ConfigError, LLMError
from simulator.keys import scrub_bytes
from simulator.llm.answers import CUT
from simulator.llm.messages import ChatRequest, ChatResponse, Outcome
from simulator.llm.providers import Price, TransientError, free, stamp
from simulator.llm.providers.complaints import LONGEST_COMPLAINT, is_passing, says_throttled, shorten
from simulator.llm.providers.openai_compatible import with_plain_schema
from simulator.llm.registry import CLAUDE_CODE
from simulator.llm.spending.usage import read_number, read_usage

COMMAND = "claude"
INSTALL = "`npm install -g @anthropic-ai/claude-code`, then `claude` once to log in"
TOOLS = "Bash,Edit,Glob,Grep,NotebookEdit,Read,Task,TodoWrite,WebFetch,WebSearch,Write"
TURNS = ("1", "4", "16", "")
"""Most turns an answer may take: the next where the one before did not do, at last no limit."""
OUR_SESSION = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")
"""Variables of a session of claude that we run in: with them the command takes itself for a part of it."""
PASSING = re.compile(
    r"\b(408|429|5\d\d)\b|overloaded|rate.?limit|timed? ?out|connection|ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN"
    r"|fetch failed",
    re.IGNORECASE,
)
PASSING_ENDS = ("error_max_turns", "error_during_execution", "error_max_structured_output_retries")
CAMEL = {"input_tokens": "inputTokens", "output_tokens": "outputTokens",
         "cache_read_input_tokens": "cacheReadInputTokens",
         "cache_creation_input_tokens": "cacheCreationInputTokens"}  # fmt: skip
USED_UP = re.compile(r"limit reached\|(\d{10})|\blimit\b.*\bresets?\b|\b(hit|reached) your .*\blimit\b", re.IGNORECASE)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
RESET = re.compile(
    rf"resets?\s+(?:(?P<span>in)\s+(?:(?P<h>\d+)\s*h\w*)?\s*(?:(?P<m>\d+)\s*m\w*)?"
    rf"|(?:at\s+|on\s+)?(?:(?P<month>{'|'.join(MONTHS)})\w*\s+(?P<day>\d{{1,2}})\w*,?\s*(?:at\s+)?)?"
    rf"(?P<hour>\d{{1,2}})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]m)?(?:\s*\((?P<zone>[\w/+-]+)\))?)",
    re.IGNORECASE,
)
UNTOLD = 3600.0
"""Seconds taken for the wait where a used-up allowance does not say when it is renewed."""
COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
MOST_BEGINNINGS = 1000
POLL, GRACE = 0.02, 1.0
"""Seconds between looks at what was printed, and those a process has to end by itself after its result line."""


class ClaudeCode:
    """A provider by subprocess. A missing command is an error of the first question and not before.

    Parameters
    ----------
    timeout_s : seconds one answer may take
    price : dollars to book for an answer, by its tokens and the cost its envelope tells
    """

    name = CLAUDE_CODE

    def __init__(self, timeout_s: float = 300.0, price: Price = free) -> None:
        self._timeout_s, self._price = timeout_s, price
        self._turns = 0

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """One attempt. Raises TransientError, LLMError; ConfigError without the command or for what it cannot take."""
        return await stamp(self._ask(request, command_of(request, TURNS[self._turns]), self._turns))

    async def _ask(self, request: ChatRequest, words: list[str], turns: int) -> ChatResponse:
        with tempfile.TemporaryDirectory(prefix="council-") as folder:
            status, out, complaint = await _run(words, prompt_of(request), Path(folder), request, self._timeout_s)
        envelope = _envelope(out)
        if envelope is None:
            if TURNS[turns] and b"--max-turns" in complaint + out:
                self._give_turns(turns, len(TURNS) - 1)
                raise TransientError(f"`{COMMAND}` takes no --max-turns")
            raise _no_envelope(status, out, complaint)
        try:
            return self._answer(request, envelope)
        except LLMError as error:
            if envelope.get("subtype") == "error_max_turns":
                self._give_turns(turns, turns + 1)
            reported = _read_report(envelope)
            if any(reported.values()):
                error.paid_usd = read_usage(request, "", reported, self._price).cost_usd
            raise

    def _give_turns(self, had: int, enough: int) -> None:
        # Several questions may have failed side by side: together they raise the limit by one step.
        self._turns = max(self._turns, min(enough, len(TURNS) - 1)) if had == self._turns else self._turns

    def _answer(self, request: ChatRequest, envelope: Mapping[str, Any]) -> ChatResponse:
        structured, result = envelope.get("structured_output"), envelope.get("result")
        text = json.dumps(structured, ensure_ascii=False) if isinstance(structured, dict) else str(result or "")
        stopped = str(envelope.get("stop_reason") or envelope.get("subtype") or "")
        outcome: Outcome = "refusal" if stopped == "refusal" else "answer"
        finish = "length" if stopped in CUT else stopped
        failed = str(envelope.get("is_error") or "").strip().casefold() not in ("", "false", "no", "0", "none", "null")
        if failed or (not text.strip() and not isinstance(result, str)):
            _raise_error(envelope)
        if outcome == "answer" and is_passing(text, request.schema) and not (finish == "length" and not text.strip()):
            _raise_used_up(text)
            said = f"with {shorten(text)!r} as its answer" if text.strip() else "with no text"
            raise TransientError(f"answered {said}", throttled=says_throttled(text), perhaps_paid=True)
        usage = read_usage(request, text, _read_report(envelope), self._price)
        return ChatResponse(text=text, outcome=outcome, model=_find_model(envelope), usage=usage, finish=finish)


def command_of(request: ChatRequest, turns: str = TURNS[0]) -> list[str]:
    """Make the argument list. Raises ConfigError for settings the command cannot take."""
    where = f"config/models.yaml, model {request.model}"
    settings = ("temperature", "top_p", "seed", "reasoning", "stop", "tools")
    refused = [name for name in settings if getattr(request, name) not in (None, ())]
    refused += sorted((request.extra or {}).keys() - {"arguments"})
    if refused:
        raise ConfigError(f"{CLAUDE_CODE} takes no {refused[0]}", where=where, mend="leave it out of its seats")
    more = (request.extra or {}).get("arguments", [])
    if not isinstance(more, list) or not all(isinstance(word, str) for word in more):
        raise ConfigError("extra.arguments is not a list of words", where=where, mend='e.g. ["--safe-mode"]')
    found = shutil.which(COMMAND)
    if found is None:
        raise ConfigError(f"no `{COMMAND}` on PATH", where=where, mend=INSTALL)
    limit = ["--max-turns", turns] if turns else []
    fixed = ["-p", "--output-format", "json", "--model", request.model, *limit, "--disallowedTools", TOOLS]
    return [found, *fixed, *more]


def prompt_of(request: ChatRequest) -> str:
    """Put all messages into one text, under the names of their roles where an answer stands between questions."""
    texts = with_plain_schema(request)
    if all(message.role != "assistant" for message in request.messages):
        return "\n\n".join(text for _, text in texts)
    names = {"system": "Instructions", "user": "Question", "assistant": "Your answer"}
    return "\n\n".join(f"# {names[role]}\n\n{text}" for role, text in texts)


async def _run(
    words: list[str], prompt: str, folder: Path, request: ChatRequest, timeout_s: float
) -> tuple[int, bytes, bytes]:
    """Run the command; returns (exit code, stdout, stderr). It and all it started were killed when this returns.

    Files instead of pipes: a child that outlives the command holds a pipe open, and whoever reads it waits for that.
    """
    asked, out, complaint, empty = (folder / name for name in ("question", "stdout", "stderr", "empty"))
    asked.write_bytes(prompt.encode("utf-8", "replace"))
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in OUR_SESSION}
    if request.max_tokens is not None:
        environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(request.max_tokens)
    with asked.open("rb") as stdin, out.open("wb") as stdout, complaint.open("wb") as stderr:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=stdin, stdout=stdout, stderr=stderr, cwd=empty, env=environment, start_new_session=True
            )
        except OSError as error:
            raise ConfigError(f"`{COMMAND}` cannot be run ({error.strerror})", where=words[0], mend=INSTALL) from None
    try:
        async with asyncio.timeout(timeout_s):
            await _wait_for_result(process, out)
    except TimeoutError:
        raise TransientError(f"no answer within {timeout_s:g} s", timed_out=True, perhaps_paid=True) from None
    finally:
        # With everything it started: it is the leader of a process group of its own, which may outlive it.
        with suppress(ProcessLookupError):
            process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    # Struck out here, before anything is cut to length.
    return process.returncode or 0, scrub_bytes(out.read_bytes()), scrub_bytes(complaint.read_bytes())


async def _wait_for_result(process: Process, out: Path) -> None:
    """Wait until the process has ended, or for a moment after it has printed its result."""
    seen, latest = 0, math.inf
    while process.returncode is None and time.monotonic() < latest:
        await asyncio.sleep(POLL)
        if latest == math.inf and (size := out.stat().st_size) != seen:
            seen = size
            if _envelope(out.read_bytes()) is not None:
                latest = time.monotonic() + GRACE


def _envelope(out: bytes) -> dict[str, Any] | None:
    """Find the result in what was printed: the last JSON that is one, whatever notices stand around it."""
    text = COLOURS.sub("", out.decode("utf-8-sig", "replace")).strip()
    decoder, found = json.JSONDecoder(), None
    # A line seldom begins with anything else; only where none does, a notice may stand before it in its line.
    for begins in (r"^\W*?([\[{])", r'(\{)\s*"'):
        end = 0
        for start in (match.start(1) for match in islice(re.finditer(begins, text, re.MULTILINE), MOST_BEGINNINGS)):
            if start < end:
                continue
            try:
                value, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            for event in value if isinstance(value, list) else [value]:
                if isinstance(event, dict) and ("result" in event or event.get("type") == "result"):
                    found = event
        if found is not None:
            break
    return found


def _no_envelope(status: int, out: bytes, complaint: bytes) -> LLMError:
    text = " ".join((complaint or out).decode("utf-8", "replace").split())[-LONGEST_COMPLAINT:]
    if PASSING.search(text):
        return TransientError(f"`{COMMAND}` ended with {status} ({text})", perhaps_paid=True)
    what = f"ended with {status}" if status else "printed what is no JSON envelope"
    mend = f"see what `{COMMAND} -p hello --output-format json` prints"
    return LLMError(f"`{COMMAND}` {what} ({text or 'nothing'})", mend=mend)


def _raise_error(envelope: Mapping[str, Any]) -> NoReturn:
    """Raise the error of an envelope."""
    subtype = str(envelope.get("subtype") or "")
    text = shorten(envelope.get("result") or envelope.get("errors") or subtype or "an error")
    _raise_used_up(text)
    if subtype in PASSING_ENDS or PASSING.search(text):
        text = f"{subtype}: {text}" if subtype.startswith("error") and subtype != text else text
        raise TransientError(text, throttled=says_throttled(text))
    mend = f"`{COMMAND}` itself may say more; log in there"
    raise LLMError(f"`{COMMAND}` answered with an error ({text})", mend=mend)


def _raise_used_up(text: str) -> None:
    """Raise the error of an allowance that is used up until a time that is stated, if `text` says so."""
    if found := USED_UP.search(text):
        wait = max(0.0, int(found[1]) - time.time()) if found[1] else seconds_until_reset(text, datetime.now(UTC))
        raise TransientError(shorten(text).partition("|")[0], retry_after=wait, throttled=True)


def seconds_until_reset(text: str, now: datetime) -> float:
    """Seconds until ``resets 1pm``, ``resets Dec 5, 3:30am (UTC)``, ``resets in 2h 5m``; an hour where none is stated.

    Times without a zone are this machine's.
    """
    found = RESET.search(text)
    if found is None:
        return UNTOLD
    half = (found["half"] or "").lower()
    try:
        if found["span"]:
            return 3600.0 * int(found["h"] or 0) + 60.0 * int(found["m"] or 0) or UNTOLD
        zone = ZoneInfo(found["zone"]) if found["zone"] else None
        hour = int(found["hour"]) % 12 + 12 * (half == "pm") if half else int(found["hour"])
        here = now.astimezone(zone)
        at = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        if found["month"]:
            at = at.replace(month=MONTHS.index(found["month"].lower()) + 1, day=int(found["day"]))
        if at <= here:
            at = at.replace(year=at.year + 1) if found["month"] else at + timedelta(days=1)
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        # OSError: a part of the world, "America", is a folder of zones.
        return UNTOLD
    return (at - here).total_seconds()


def _find_model(envelope: Mapping[str, Any]) -> str:
    """Model with the most output tokens, for `claude` asks small helpers too; empty where none is named."""
    used = envelope.get("modelUsage")
    written: dict[str, float] = {}
    for name, one in used.items() if isinstance(used, dict) else ():
        count = one.get("outputTokens") if isinstance(one, dict) else 0
        written[str(name)] = count if isinstance(count, int | float) else 0
    return max(written, key=lambda name: written[name], default="")


def _read_report(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and cost of an envelope, under the names `read_usage` reads; those of its models where it has no sums."""
    usage, models = envelope.get("usage"), envelope.get("modelUsage")
    each = [one for one in models.values() if isinstance(one, dict)] if isinstance(models, dict) else []
    tokens = dict(usage) if isinstance(usage, dict) else {}
    if not any(tokens.get(name) for name in ("input_tokens", "output_tokens")):
        tokens = {name: sum(read_number(one.get(camel)) or 0 for one in each) for name, camel in CAMEL.items()}
    told = (envelope.get("total_cost_usd"), envelope.get("cost_usd"))
    cost = next((one for one in told if read_number(one) is not None), None)
    if cost is None and any("costUSD" in one for one in each):
        cost = sum(read_number(one.get("costUSD")) or 0.0 for one in each)
    return {**tokens, "cost": cost}
