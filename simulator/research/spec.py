"""What was asked for, and how to ask for it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal


@dataclass(frozen=True)
class RunSpec:
    """What was asked for. `last` None = the last session that all symbols have."""

    strategy: str | type
    symbols: tuple[str, ...]
    first: date
    last: date | None = None
    models: str | None = None
    cache: Literal["record", "replay", "refresh", "off"] = "record"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def command(self, strategy: str, last: date) -> list[str]:
        """The words of the `sim run` that makes this run again, with everything that was left open filled in."""
        words = ["sim", "run", "--strategy", strategy, "--symbols", ",".join(self.symbols)]
        words += ["--from", str(self.first), "--to", str(last)]
        if self.models:
            words += ["--models", self.models]
        for name, value in sorted(self.parameters.items()):
            words += ["--set", f"{name}={value}"]
        return words
