"""Tokens and dollars of an answer, out of what its service reports: every service reports them in its own way.

    {"prompt_tokens": 812, "completion_tokens": 95, "total_tokens": 3100, "cost": 0, "cost_details": {…}} ─► Usage

Nothing is free for want of a report: what is missing, 0 or impossible is taken for four bytes a token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from simulator.llm.messages import ChatRequest, Usage
from simulator.llm.providers import Price

PROMPT, COMPLETION = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
DETAILS = ("completion_tokens_details", "output_tokens_details")
COSTS = ("cost", "total_cost", "estimated_cost", "cost_usd", "total_cost_usd")
TICKS_A_DOLLAR = 1e10
GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
WRITTEN = ("cache_creation_input_tokens", "cache_write_tokens", "cache_creation_tokens")
READ = (
    "cached_tokens",
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_tokens",
    "cached_content_token_count",
)
"""Parts of the prompt put into and read from a service's cache: OpenAI, OpenRouter and xAI tell ``cached_tokens`` in
``prompt_tokens_details``, DeepSeek ``prompt_cache_hit_tokens``, Anthropic ``cache_read_input_tokens``."""
PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
BESIDE_INPUT = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Those that Anthropic counts beside ``input_tokens``; others, and routers to it, count them in the prompt's."""
MOST_TOKENS = 10_000_000
"""Tokens above which a count is no count: no model reads or writes as many at once."""
BYTES_PER_TOKEN = 4


def read_usage(request: ChatRequest, text: str, reported: Any, price: Price) -> Usage:
    """Usage of the answer `text`, as the mapping `reported` has it; `price` says what of its cost is believed.

    Numbers may be whole, floats or text. Tokens of reasoning that stand in the total only count as completion.
    """
    reported = reported if isinstance(reported, Mapping) else {}
    prompt = _count(reported, PROMPT)
    if "prompt_tokens" not in reported:
        prompt += sum(_count(reported, (name,)) for name in BESIDE_INPUT)
    completion = _count(reported, COMPLETION)
    counted = bool(prompt or completion)
    prompt = prompt or sum(len(message.content.encode("utf-8", "replace")) for message in request.messages) // 4
    completion = completion or len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN
    parts = (reported, *(reported.get(name) for name in DETAILS))
    reasoning = max(_count(part, ("reasoning_tokens",)) for part in parts if isinstance(part, Mapping))
    if reasoning > completion:
        completion += reasoning
    completion = max(completion, _count(reported, ("total_tokens",)) - prompt)
    told, (cached, written) = _read_usd(reported, counted), _count_cached(reported, prompt)
    # Without either as before: whoever prices answers by their tokens alone need not know of caches.
    more = {"cached": cached, "written": written} if cached or written else {}
    return Usage(prompt, completion, price(request, prompt, completion, told, **more), cached, written)


def read_number(value: Any) -> float | None:
    """A number, or text that is one, as 12,000 and $0.5 are; NaN and infinity are numbers too. None for anything else.

    Text that only Python takes for a number, as 1_000, is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        value = value.strip().removeprefix("$")
        value = value.replace(",", "") if GROUPED.fullmatch(value) else value.replace("_", "?")
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def counts_tokens(reported: Mapping[str, Any]) -> bool:
    """True where a report says anything: a number that is not 0, in itself or in one of its parts."""
    parts = (one.values() if isinstance(one, Mapping) else (one,) for one in reported.values())
    return any(read_number(one) for part in parts for one in part)


def is_amount(usd: float) -> bool:
    """True for dollars that can have been paid: finite, and not below 0."""
    return 0.0 <= usd < math.inf


def _count(reported: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first possible number of tokens under `names`; 0 without one."""
    for name in names:
        number = read_number(reported.get(name))
        if number is not None and 1 <= number <= MOST_TOKENS:
            return round(number)
    return 0


def _count_cached(reported: Mapping[str, Any], prompt: int) -> tuple[int, int]:
    """Tokens of the prompt read from the service's cache, and put there; never more than it has together."""
    parts = [one for one in (reported, *(reported.get(name) for name in PROMPT_DETAILS)) if isinstance(one, Mapping)]
    read, written = (max(_count(one, names) for one in parts) for names in (READ, WRITTEN))
    return min(read, prompt), min(written, prompt - min(read, prompt))


def _read_usd(reported: Mapping[str, Any], counted: bool) -> float | None:
    """Dollars as stated, possible or not; None where none are.

    Routers that ask with the user's own key (BYOK) tell their fee as ``cost``, often 0, and the rest in
    ``cost_details``. A cost of 0 beside no tokens tells nothing.
    """
    details = reported.get("cost_details")
    upstream = read_number(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
    ticks = read_number(reported.get("cost_in_usd_ticks"))
    costs = [*(_dollars(reported.get(name)) for name in COSTS), None if ticks is None else ticks / TICKS_A_DOLLAR]
    # One sum under several names; NaN, which no sum is above or below, must not get lost among them.
    known = [number for number in costs if number is not None]
    cost = next((number for number in known if not is_amount(number)), max(known, default=None))
    told = [number for number in (cost, upstream) if number is not None]
    if (bad := next((number for number in told if not is_amount(number)), None)) is not None:
        return bad
    own_key = reported.get("is_byok") is True
    total = math.fsum(told) if own_key else max(told, default=0.0)
    return total if total or (told and counted and not own_key) else None


def _dollars(cost: Any) -> float | None:
    """A cost, or the sum of one that is stated in parts, as Perplexity does."""
    if isinstance(cost, Mapping):
        return next(
            (told for name in ("total_cost", "total") if (told := read_number(cost.get(name))) is not None), None
        )
    return read_number(cost)
