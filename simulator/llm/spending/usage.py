"""Tokens and dollars of an answer, out of what its service reports: every service reports them in its own way.

    {"prompt_tokens": 812, "completion_tokens": 95, "total_tokens": 3100, "cost": 0, "cost_details": {…}} ─► Usage

Nothing is free for want of a report: what is missing, 0 or impossible is taken for four bytes a token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simulator.llm.messages import ChatRequest, Usage
from simulator.llm.providers import Price

PROMPT, COMPLETION = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
BESIDE_INPUT = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Parts of the prompt that Anthropic counts beside ``input_tokens``."""
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
    details = reported.get("completion_tokens_details")
    reasoning = _count(details, ("reasoning_tokens",)) if isinstance(details, Mapping) else 0
    if reasoning > completion:
        completion += reasoning
    completion = max(completion, _count(reported, ("total_tokens",)) - prompt)
    return Usage(prompt, completion, price(request, prompt, completion, _told_usd(reported, counted)))


def read_number(value: Any) -> float | None:
    """A number, or text that is one; NaN and infinity are numbers too. None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def is_told(reported: Mapping[str, Any]) -> bool:
    """True where a report says anything: a number that is not 0, in itself or in one of its parts."""
    return any(is_told(one) if isinstance(one, Mapping) else read_number(one) for one in reported.values())


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


def _told_usd(reported: Mapping[str, Any], counted: bool) -> float | None:
    """Dollars as told, possible or not; None where nothing is told.

    Routers that ask with the user's own key (BYOK) tell their fee as ``cost``, often 0, and the rest in
    ``cost_details``. A cost of 0 beside no tokens tells nothing.
    """
    details = reported.get("cost_details")
    upstream = read_number(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
    cost = reported.get("cost")
    if isinstance(cost, Mapping):
        # Perplexity tells the parts, too.
        cost = cost.get("total_cost")
    told = [number for number in (read_number(cost), upstream) if number is not None]
    if (bad := next((number for number in told if not is_amount(number)), None)) is not None:
        return bad
    own_key = reported.get("is_byok") is True
    total = math.fsum(told) if own_key else max(told, default=0.0)
    return total if total or (told and counted and not own_key) else None
