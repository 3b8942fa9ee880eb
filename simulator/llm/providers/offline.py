"""Offline provider: answers by rule, free of charge, from the facts in a prompt and in the stage's schema.

The rules are handed in; here they are found, fed and written out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from simulator.errors import LLMError, did_you_mean
from simulator.llm.messages import ChatRequest, ChatResponse

Rule = Callable[[Mapping[str, Any]], Any]

FACTS = re.compile(r"^```json[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Offline:
    """A deterministic provider: no network, no clock, no cost.

    Parameters
    ----------
    rules : ``model/Title`` or ``Title`` of the schema asked for → rule. A rule gets ``{"facts", "system", "seat"}``
        and returns something JSON-able; `seat` is the model without the digest behind its ``@``.
    version : of the rules, returned in `ChatResponse.model`
    """

    name = "offline"
    in_process = True
    """Nothing to wait for, to limit, or to share with other processes."""

    def __init__(self, rules: Mapping[str, Rule], version: str) -> None:
        self._rules, self._version = rules, version

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Answer by the rule. Raises LLMError without a rule, without facts, or for an answer that is no JSON.

        Errors of the rule itself come through as they are.
        """
        seat, title = request.model.partition("@")[0], str((request.schema or {}).get("title", ""))
        name = f"{seat}/{title}"
        rule = self._rules.get(name) or self._rules.get(title)
        if rule is None:
            near = did_you_mean(name, self._rules)
            raise LLMError(f'no offline rule "{name}"{near}', mend="see config/models.yaml")
        system = "\n\n".join(message.content for message in request.messages if message.role == "system")
        answer = rule({"facts": facts_of(request), "system": system, "seat": seat})
        try:
            text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise LLMError(f"offline rule answered with what is no JSON ({error})", where=seat) from None
        return ChatResponse(text, model=f"{seat}/{self._version}")


def facts_of(request: ChatRequest) -> Any:
    """Return the facts in the last user message that has any; several blocks are merged into one mapping.

    A repair question has none and is about those before it. Raises LLMError: no block, a block that is no JSON,
    two blocks that are no mappings or name the same fact.
    """
    users = [message.content for message in request.messages if message.role == "user"]
    blocks = next((found for text in reversed(users) if (found := FACTS.findall(text))), None)
    if blocks is None:
        raise LLMError("no ```json block with facts in the prompt", where=request.model)
    try:
        parsed = [json.loads(block) for block in blocks]
    except ValueError as error:
        raise LLMError(f"facts in the prompt are no JSON ({error})", where=request.model) from None
    return parsed[0] if len(parsed) == 1 else _merge(parsed, request.model)


def _merge(blocks: list[Any], model: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for block in blocks:
        if not isinstance(block, Mapping) or facts.keys() & block.keys():
            raise LLMError("blocks of facts overlap or are no mappings", where=model)
        facts.update(block)
    return facts
