"""Names of models: the one asked for and the one that served, as its service writes it.

openai/gpt-5.2  ~  gpt-5.2-2026-01-15        anthropic/claude-sonnet-4.5  ~  claude-sonnet-4-5-20250929
"""

from __future__ import annotations

import re
from functools import lru_cache

CLAUDE_ALIASES = {"haiku": "claude-haiku-4-5", "sonnet": "claude-sonnet-4-5", "opus": "claude-opus-4-5"}

PROVIDER = re.compile(r"^.*/|^(?:(?:us|eu|apac|global)\.)?(?:amazon|anthropic|cohere|deepseek|meta|mistral|openai)\.")
"""Prefixes: ``openai/``, ``accounts/x/models/``, those of Bedrock, the folder of a model file."""
WAY_OF_SERVING = re.compile(r"(?:\[\w+\]|[:-]latest|:free|:nitro|:floor|:online|-v\d:\d|\.gguf)$")
DAY = r"(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"
DATE = re.compile(rf"[-@_](20[2-4]\d-?{DAY}|20[2-4]\d-(?:0[1-9]|1[0-2])|{DAY}|2[3-9](?:0[1-9]|1[0-2]))$")
"""Dates at the end: 20250929, 2025-09-29, 2025-09, 0929, 09-29, and 2507 for a month."""


def strip_provider(name: str) -> str:
    """Return a name without the prefix of a provider: ``gpt-5.2`` for ``openai/gpt-5.2``."""
    return PROVIDER.sub("", name)


def is_same_model(asked: str, served: str) -> bool:
    """True where `served` is `asked` with or without a date or the prefix of a provider, or what an alias stands for.

    Two names with two dates are two models.
    """
    if asked in CLAUDE_ALIASES:
        return asked in re.split(r"\W", served)
    (name, date), (other, its_date) = _split(asked), _split(served)
    return name == other and (date == its_date or not date or not its_date)


@lru_cache(maxsize=4096)
def _split(name: str) -> tuple[str, str]:
    """(name, date) in lower case, with one sign for dots, colons and hyphens."""
    name = PROVIDER.sub("", name.strip().lower())
    while name != (shorter := WAY_OF_SERVING.sub("", name)):
        name = shorter
    found = DATE.search(name)
    date = found[1].replace("-", "") if found else ""
    return re.sub(r"[\s._:@-]+", "-", name[: found.start()] if found else name), date
