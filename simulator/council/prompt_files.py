"""Prompts are Markdown files: Jinja2 templates in a sandbox, with variables declared here and no others.

    persona     (system message)   symbols
    stage       (user message)     as_of  symbols  user_query  max_trades  half_size  full_size  facts
    review      besides            label
    checkpoint  besides            instrument  direction

`facts` is JSON text and stands in the one ```json block of a stage's prompt.

In a council with an `opening`, all questions of a meeting begin alike, and services charge less for what they have read
before: the system message is the same for everyone, and the user message is the opening's facts (those of the market),
the stage's prompt with facts of its own, and in that one, as `persona`, the seat's.

    system  (system message)   user_query  max_trades  half_size  full_size
    facts   (user message …)   as_of  symbols  user_query  facts
    stage   (… goes on)        as before, and persona; `facts` only where the stage has any
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from simulator.errors import ConfigError, did_you_mean
from simulator.files import read_bytes
from simulator.llm.messages import Message
from simulator.template_code import TemplateCode

STAGE = ("as_of", "symbols", "user_query", "max_trades", "half_size", "full_size", "facts")

VARIABLES: dict[str, tuple[str, ...]] = {
    "persona": ("symbols",),
    "research": STAGE,
    "pitch": STAGE,
    "review": (*STAGE, "label"),
    "chairman": STAGE,
    "checkpoint": (*STAGE, "instrument", "direction"),
    "shortlist": (*STAGE, "size"),
}

OPENING: dict[str, tuple[str, ...]] = {
    "system": ("user_query", "max_trades", "half_size", "full_size"),
    "facts": ("as_of", "symbols", "user_query", "facts"),
    **{name: ("persona", *names) for name, names in VARIABLES.items() if name != "persona"},
    "persona": ("symbols",),
}
"""The same in a council with an opening."""
WITHOUT_FACTS = ("research", "shortlist")
"""Stages that have no facts beside the opening's."""

FACTS_BLOCK = re.compile(r"^```json\s*\n\s*\{\{-?\s*facts\s*-?\}\}\s*\n```\s*$", re.MULTILINE)

LARGEST = 1_000_000
"""Bytes of a prompt."""

_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_code = TemplateCode(__file__)
_encoder = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A compiled prompt file; `digest` is the sha256 (hex) of its bytes."""

    path: Path
    template: Template
    digest: str

    def render(self, **values: Any) -> str:
        """The text of a message. Raises ConfigError naming file and line when the template fails."""
        try:
            return self.template.render(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            where = f"{self.path}:{_line_of(error, self.path)}"
            raise ConfigError(f"template failed: {error}", where=where) from error


@lru_cache(maxsize=256)
def system_message(persona: Prompt, symbols: tuple[str, ...]) -> Message:
    """The system message of `persona`, which may use nothing but `symbols`: every meeting on these shares it."""
    return Message("system", persona.render(symbols=symbols))


def load_prompt(path: Path, kind: str, declared: Mapping[str, tuple[str, ...]] = VARIABLES) -> Prompt:
    """Read, check and compile the prompt file `path` of `kind`, a key of `declared`: VARIABLES or OPENING.

    Raises ConfigError, naming file and line, for bad syntax, a variable not declared for this kind, and a stage's
    prompt that does not show ``{{ facts }}`` in exactly one ```json block, or its persona where it has to.
    """
    try:
        raw = read_bytes(path, LARGEST)
        source = raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8", where=f"{path}:{line}") from None
    names = declared[kind]
    kept = _code.get_bucket(_environment, " ".join((kind, *names)), str(path), source)
    if kept.code is None:
        kept.code = _compile(source, path, kind, names)
        _code.set_bucket(kept)
    template = Template.from_code(_environment, kept.code, _environment.make_globals(None))
    return Prompt(path, template, hashlib.sha256(raw).hexdigest())


def _compile(source: str, path: Path, kind: str, names: tuple[str, ...]) -> CodeType:
    """Return the code of a prompt that passed every check."""
    try:
        tree = _environment.parse(source, filename=str(path))
        code = _environment.compile(source, filename=str(path))
    except TemplateSyntaxError as error:
        raise ConfigError(f"bad template: {error.message}", where=f"{path}:{error.lineno}") from None
    if "persona" in names:
        names = tuple(name for name in names if name != "facts" or kind not in WITHOUT_FACTS)
        if "persona" not in meta.find_undeclared_variables(tree):
            raise ConfigError(
                "does not show its persona", where=f"{path}:1", mend="say {{ persona }} where it is to stand"
            )
    _check_variables(tree, path, names)
    if "facts" in names:
        _check_facts(source, path)
    return code


def _check_variables(tree: nodes.Template, path: Path, declared: tuple[str, ...]) -> None:
    unknown = meta.find_undeclared_variables(tree) - set(declared)
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            raise ConfigError(
                f'unknown variable "{name.name}"{did_you_mean(name.name, declared)}',
                where=f"{path}:{name.lineno}",
                mend=f"declared are {', '.join(declared)}",
            )


def _check_facts(source: str, path: Path) -> None:
    blocks = [n for n, line in enumerate(source.splitlines(), 1) if "```json" in line]
    if len(blocks) == 1 and FACTS_BLOCK.search(source):
        return
    found = "has more than one ```json block" if len(blocks) > 1 else "does not show its facts"
    line = (blocks or [1])[:2][-1]
    raise ConfigError(found, where=f"{path}:{line}", mend="put {{ facts }} alone into the one ```json block")


def _line_of(error: BaseException, path: Path) -> int:
    line, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(path):
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def facts_block(**parts: str) -> str:
    """JSON text of an object whose values are JSON texts already, keys sorted, a line each."""
    return "{\n" + ",\n".join(f"{_encoder.encode(name)}: {parts[name]}" for name in sorted(parts)) + "\n}"


def json_text(value: Any, depth: int = 0) -> str:
    """JSON with sorted keys; mappings down to `depth` get a line per key, so that people can read them too."""
    if depth and isinstance(value, Mapping) and value:
        return facts_block(**{name: json_text(inner, depth - 1) for name, inner in value.items()})
    return _encoder.encode(value)
