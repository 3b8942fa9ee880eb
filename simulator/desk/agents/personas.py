"""Personas of the five agents: a Markdown file each, its settings in front matter, its words below.

---
description: …          one line, for people and for other clients of the tools
task: …                 the question, put before the facts of the day
tools: [market]         groups of tools it may ask
calls: 3                most calls before its result
---
You are …
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from simulator.config import Section, parse_yaml
from simulator.desk.agents.answers import (
    Analysis,
    Judgement,
    Optimization,
    PerformanceReview,
    Screening,
    Validation,
)
from simulator.desk.tools.registry import Group
from simulator.errors import ConfigError
from simulator.files import read_bytes

AgentName = Literal["screener", "analyzer", "optimizer", "reviewer", "backtester"]
AGENTS: tuple[AgentName, ...] = get_args(AgentName)

ANSWERS: Mapping[AgentName, type[Judgement]] = {
    "screener": Screening,
    "analyzer": Analysis,
    "optimizer": Optimization,
    "reviewer": PerformanceReview,
    "backtester": Validation,
}
MAY_ASK: Mapping[AgentName, tuple[Group, ...]] = {
    "screener": ("market",),
    "analyzer": ("market",),
    "optimizer": ("market", "position", "risk"),
    "reviewer": ("position", "risk"),
    "backtester": ("backtest",),
}
"""Groups of tools each may be given. Screener and analyzer are asked ahead, for all dates at once: no account yet."""

LARGEST = 100_000
"""Bytes of a file."""
MARK = "---"

Line = Annotated[str, Field(min_length=1, max_length=600)]


class FrontMatter(Section):
    """Settings of a persona."""

    description: Line
    task: Line
    tools: tuple[Group, ...] = ()
    calls: Annotated[int, Field(ge=0, le=20)] = 0


@dataclass(frozen=True)
class Persona:
    """One agent's words and settings; `digest` is the sha256 (hex) of its file."""

    name: AgentName
    words: str
    settings: FrontMatter
    path: Path
    digest: str

    @property
    def answer(self) -> type[Judgement]:
        """Result it is asked for."""
        return ANSWERS[self.name]


def load_personas(folder: Path) -> Mapping[AgentName, Persona]:
    """Return the five personas in `folder`: NAME.md each. Raises ConfigError naming file and line."""
    return {name: load_persona(folder / f"{name}.md", name) for name in AGENTS}


def load_persona(path: Path, name: AgentName) -> Persona:
    """Read and check one persona."""
    try:
        raw = read_bytes(path, LARGEST)
        text = raw.decode("utf-8")
    except OSError as error:
        reason = error.strerror or "cannot be opened"
        mend = f"the desk has an agent {name}: `sim init DIR` writes a fresh file"
        raise ConfigError(f"cannot be read ({reason})", where=str(path), mend=mend) from None
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", where=f"{path}:{raw.count(10, 0, error.start) + 1}") from None
    lines = text.splitlines()
    if MARK not in lines[1:] or lines[0] != MARK:
        raise ConfigError(
            "has no front matter", where=f"{path}:1", mend=f"begin with a line {MARK}, settings, and another {MARK}"
        )
    end = lines.index(MARK, 1)
    # The empty first line keeps the numbers of the lines in messages.
    settings = parse_yaml("\n".join(["", *lines[1:end], ""]), path, FrontMatter)
    allowed = MAY_ASK[name]
    if foreign := [group for group in settings.tools if group not in allowed]:
        line = next(n for n, one in enumerate(lines, 1) if one.startswith("tools"))
        raise ConfigError(
            f"the {name} may not ask {foreign[0]} tools",
            where=f"{path}:{line}",
            mend=f"it may ask {', '.join(allowed)}",
        )
    words = "\n".join(lines[end + 1 :]).strip()
    if not words:
        raise ConfigError("has no words under its front matter", where=f"{path}:{end + 1}")
    return Persona(name, words, settings, path, hashlib.sha256(raw).hexdigest())
