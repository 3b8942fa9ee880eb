"""Register of the desk's tools: one function each, with its arguments and its answer as strict models.

    function(state, **arguments) -> Answer ──tool(group)──► Tool: name, description, schemas, call(state, JSON)

Arguments that are unknown, of another type or out of range are refused with the reason; answers hold finite numbers or
null, so that they are JSON wherever they go.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from simulator.desk.state import DeskState
from simulator.errors import UsageError, did_you_mean

Group = Literal["market", "position", "risk", "backtest"]


LONGEST_ARGUMENTS = 20_000
"""Characters of a call's arguments as JSON: four times what a sweep of four settings with a hundred values each has."""


def length_of(content: object) -> int:
    """Return the characters of `content` as JSON."""
    return len(json.dumps(content, ensure_ascii=False, default=str))


def brief(text: str, most: int = 200) -> str:
    """Return `text` in one line of `most` characters: it may come from anybody, and goes to models and terminals."""
    line = text[:most].replace("\r", " ").replace("\n", " ")
    return line if len(text) <= most else f"{line[:-1]}…"


class Answer(BaseModel):
    """Base of all answers: frozen, nothing unknown, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ToolError(UsageError):
    """A tool that cannot answer; the message is for whoever called it, person or model."""


@dataclass(frozen=True)
class Tool:
    """One tool: `arguments` and `answer` are models, `function` takes the state first."""

    name: str
    group: Group
    description: str
    arguments: type[BaseModel]
    answer: type[Answer]
    function: Callable[..., Answer]

    def call(self, state: DeskState, given: Mapping[str, Any]) -> Answer:
        """Return the answer to `given`. Raises ToolError naming the argument that is wrong, and for more of them than
        any question needs."""
        if (length := length_of(given)) > LONGEST_ARGUMENTS:
            raise ToolError(f"{self.name}: the arguments have {length} characters", mend=f"most is {LONGEST_ARGUMENTS}")
        try:
            checked = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            where = brief(".".join(str(part) for part in first["loc"])) or "arguments"
            known = tuple(self.arguments.model_fields)
            near = did_you_mean(where, known) if first["type"] == "extra_forbidden" else ""
            raise ToolError(
                f"{self.name}: {where}: {first['msg']}{near}", mend=f"it takes {', '.join(known)}"
            ) from None
        values = {name: getattr(checked, name) for name in self.arguments.model_fields}
        try:
            return self.function(state, **values)
        except ValidationError as error:  # an overflow, say
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ToolError(
                f"{self.name}: {where} of the answer: {first['msg']}", mend="ask with other numbers"
            ) from None


TOOLS: dict[str, Tool] = {}
"""{name: tool} of all tools whose modules are imported, in their order."""


def tool(group: Group, name: str = "") -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Return a decorator that registers a function, under another `name` where one is given; the first line of its
    docstring describes it."""

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        hints, names = get_type_hints(function, include_extras=True), [*inspect.signature(function).parameters][1:]
        defaults = {name: inspect.signature(function).parameters[name].default for name in names}
        fields: dict[str, Any] = {
            name: (hints[name], ... if default is inspect.Parameter.empty else default)
            for name, default in defaults.items()
        }
        known_as = name or function.__name__
        title = "".join(part.capitalize() for part in known_as.split("_")) + "Arguments"
        config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
        arguments = create_model(title, __config__=config, **fields)
        about = inspect.getdoc(function) or ""
        TOOLS[known_as] = Tool(known_as, group, about, arguments, hints["return"], function)
        return function

    return register
