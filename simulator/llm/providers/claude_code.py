"""The `claude` command, headless: ``claude -p --model haiku --output-format json``, the question on its stdin.

    ChatRequest ─► prompt ─► claude, in an empty folder ─► envelope ─► ChatResponse
                                 │ time-out: its whole process group is killed

It is an agent, not a bare model: it brings a prompt of its own and reads the user's settings. So that an answer about
the past cannot be looked up, it is given one turn, no tools, and a folder with nothing in it. It takes no temperature.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from simulator.errors import ConfigError, LLMError
from simulator.keys import scrub_bytes
from simulator.llm.messages import ChatRequest, ChatResponse, Outcome
from simulator.llm.providers import Price, TransientError, free, stamp
from simulator.llm.providers.complaints import LONGEST_COMPLAINT
from simulator.llm.providers.openai_compatible import with_plain_schema
from simulator.llm.registry import CLAUDE_CODE
from simulator.llm.spending.usage import read_number, read_usage

COMMAND = "claude"
INSTALL = "`npm install -g @anthropic-ai/claude-code`, then `claude` once to log in"
TOOLS = "Bash,Edit,Glob,Grep,NotebookEdit,Read,Task,TodoWrite,WebFetch,WebSearch,Write"
PASSING = re.compile(r"\b(429|5\d\d)\b|overloaded|rate.?limit|timed? ?out|connection|ECONN|ETIMEDOUT", re.IGNORECASE)
CAMEL = {"input_tokens": "inputTokens", "output_tokens": "outputTokens",
         "cache_read_input_tokens": "cacheReadInputTokens",
         "cache_creation_input_tokens": "cacheCreationInputTokens"}  # fmt: skip
USED_UP = re.compile(r"limit reached\|(\d{10})")


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

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """One attempt. Raises TransientError, LLMError; ConfigError without the command or for what it cannot take."""
        return await stamp(self._ask(request, command_of(request)))

    async def _ask(self, request: ChatRequest, words: list[str]) -> ChatResponse:
        with tempfile.TemporaryDirectory(prefix="council-") as empty:
            status, out, complaint = await _run(words, prompt_of(request), empty, request, self._timeout_s)
        envelope = _envelope(out)
        if envelope is None:
            raise _no_envelope(status, out, complaint)
        if envelope.get("is_error") or not isinstance(envelope.get("result"), str):
            try:
                _raise_unless_paid(envelope)
            except LLMError as error:
                reported = _reported(envelope)
                if any(reported.values()):
                    error.paid_usd = read_usage(request, "", reported, self._price).cost_usd
                raise
        stopped = str(envelope.get("stop_reason") or envelope.get("subtype") or "")
        outcome: Outcome = "refusal" if stopped == "refusal" else "answer"
        return ChatResponse(
            text=str(envelope.get("result") or ""),
            outcome=outcome,
            model=_served(envelope),
            usage=read_usage(request, str(envelope.get("result") or ""), _reported(envelope), self._price),
            finish="length" if stopped == "max_tokens" else stopped,
        )


def command_of(request: ChatRequest) -> list[str]:
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
    fixed = ["-p", "--output-format", "json", "--model", request.model, "--max-turns", "1", "--disallowedTools", TOOLS]
    return [found, *fixed, *more]


def prompt_of(request: ChatRequest) -> str:
    """Put all messages into one text, under the names of their roles where an answer stands between questions."""
    texts = with_plain_schema(request)
    if all(message.role != "assistant" for message in request.messages):
        return "\n\n".join(text for _, text in texts)
    names = {"system": "Instructions", "user": "Question", "assistant": "Your answer"}
    return "\n\n".join(f"# {names[role]}\n\n{text}" for role, text in texts)


async def _run(
    words: list[str], prompt: str, folder: str, request: ChatRequest, timeout_s: float
) -> tuple[int, bytes, bytes]:
    """Run the command; returns (exit code, stdout, stderr). It has ended or was killed when this returns or raises."""
    environment = dict(os.environ)
    if request.max_tokens is not None:
        environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(request.max_tokens)
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=folder, env=environment, start_new_session=True
        )
    except OSError as error:
        raise ConfigError(f"`{COMMAND}` cannot be run ({error.strerror})", where=words[0], mend=INSTALL) from None
    try:
        async with asyncio.timeout(timeout_s):
            out, complaint = await process.communicate(prompt.encode("utf-8", "replace"))
    except TimeoutError:
        raise TransientError(f"no answer within {timeout_s:g} s", timed_out=True, perhaps_paid=True) from None
    finally:
        if process.returncode is None:
            # With everything it started: it is the leader of a process group of its own.
            with suppress(ProcessLookupError):
                process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    # Struck out here, before anything is cut to length.
    return process.returncode or 0, scrub_bytes(out), scrub_bytes(complaint)


def _envelope(out: bytes) -> dict[str, Any] | None:
    """Find the result in what was printed: the whole of it, or the last line that is one."""
    text = out.decode("utf-8", "replace").strip()
    for part in (text, *reversed(text.splitlines())):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        events = found if isinstance(found, list) else [found]
        for event in reversed(events):
            if isinstance(event, dict) and ("result" in event or event.get("type") == "result"):
                return event
    return None


def _no_envelope(status: int, out: bytes, complaint: bytes) -> LLMError:
    text = " ".join((complaint or out).decode("utf-8", "replace").split())[-LONGEST_COMPLAINT:]
    if PASSING.search(text):
        return TransientError(f"`{COMMAND}` ended with {status} ({text})", perhaps_paid=True)
    what = f"ended with {status}" if status else "printed what is no JSON envelope"
    mend = f"see what `{COMMAND} -p hello --output-format json` prints"
    return LLMError(f"`{COMMAND}` {what} ({text or 'nothing'})", mend=mend)


def _raise_unless_paid(envelope: Mapping[str, Any]) -> None:
    """Raise the error of an envelope. One whose turns ended was paid for, and is an answer without text."""
    subtype = str(envelope.get("subtype") or "")
    if subtype == "error_max_turns":
        return
    text = str(envelope.get("result") or envelope.get("errors") or subtype or "an error")
    text = " ".join(text.split())[:LONGEST_COMPLAINT]
    if until := USED_UP.search(text):
        wait = max(0.0, int(until[1]) - time.time())
        raise TransientError(text.partition("|")[0], retry_after=wait, throttled=True)
    if PASSING.search(text):
        raise TransientError(text, throttled="429" in text)
    mend = f"`{COMMAND}` itself may say more; log in there"
    raise LLMError(f"`{COMMAND}` answered with an error ({text})", mend=mend)


def _served(envelope: Mapping[str, Any]) -> str:
    """Model with the most output tokens, for `claude` asks small helpers too; empty where none is named."""
    used = envelope.get("modelUsage")
    written: dict[str, float] = {}
    for name, one in used.items() if isinstance(used, dict) else ():
        count = one.get("outputTokens") if isinstance(one, dict) else 0
        written[str(name)] = count if isinstance(count, int | float) else 0
    return max(written, key=lambda name: written[name], default="")


def _reported(envelope: Mapping[str, Any]) -> dict[str, Any]:
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
