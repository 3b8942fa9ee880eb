"""Errors of the YAML files in one line: what was found, where, and what is wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simulator.errors import ConfigError, did_you_mean
from simulator.keys import is_secret

WANTED = {
    "tuple_type": 'give a list, as ["one", "two"]',
    "list_type": 'give a list, as ["one", "two"]',
    "dict_type": "give keys and values, as {{key: value}}",
    "model_type": "give keys and values, as {{key: value}}",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "string_type": "give a text, in quotes where it looks like something else",
    "greater_than": "give more than {gt:,.15g}",
    "greater_than_equal": "give {ge:,.15g} or more",
    "less_than": "give less than {lt:,.15g}",
    "less_than_equal": "give {le:,.15g} at most",
    "literal_error": "give {expected}",
}
"""What is wanted, by the kind of what is wrong."""


def say_wanted(wrong: ErrorDetails) -> str:
    """Return what a key wants in place of what is `wrong`."""
    wanted = WANTED.get(wrong["type"])
    return wanted.format(**wrong.get("ctx", {})) if wanted else wrong["msg"].removeprefix("Value error, ")


def explain_invalid(error: ValidationError, path: Path, root: yaml.Node | None, model: type[BaseModel]) -> ConfigError:
    """Return what is wrong in the file `path`, whose YAML is `root`, and where; one thing of several."""
    # A misspelt key is also a missing one, and the error is about its spelling.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    spot = [part for part in first["loc"] if part != "[key]"]
    where = f"{path}:{line_of(root, spot)}"
    name = ".".join(str(part) for part in spot)
    if first["type"] == "extra_forbidden":
        near = did_you_mean(str(spot[-1]), _keys_at(model, spot[:-1]))
        return ConfigError(f'unknown key "{name}"{near}', where=where)
    if first["type"] == "missing":
        return ConfigError(f'key "{name}" is missing', where=where)
    if first["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        if near := did_you_mean(str(first["input"]), choices):
            return ConfigError(f"{name} was {first['input']!r}{near}", where=where)
    reason = say_wanted(first)
    if spot and spot[-1] in ("endpoint", "webhook"):
        # What is wrong with it is said without the password it may hold.
        return ConfigError(f"{name}: {reason}", where=where)
    if spot and is_secret(str(spot[-1])):
        # A key that was put where the name of its variable belongs is not repeated.
        return ConfigError(f"{name} is no name of a variable", where=where, mend="`export NAME=…` and say NAME here")
    return ConfigError(f"{name or 'the file'} was {first['input']!r}: {reason}", where=where)


def line_of(node: yaml.Node | None, spot: list[Any]) -> int:
    """Return the line on which the value at `spot` begins, or the nearest that is there."""
    line = node.start_mark.line + 1 if node else 1
    for part in spot:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _keys_at(model: type[BaseModel], spot: list[Any]) -> list[str]:
    """Field names allowed at `spot`, by the annotations of nested sections."""
    kind: Any = model
    for part in spot:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            kind = kind.model_fields[part].annotation
            kind = get_args(kind)[0] if type(None) in get_args(kind) else kind
        else:
            kind = (getattr(kind, "__args__", None) or (None,))[-1]
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    return [field.alias or name for name, field in fields.items()]
