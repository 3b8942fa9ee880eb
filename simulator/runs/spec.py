"""The specification of a run, and the command that makes it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from numbers import Real
from typing import Any, Literal

from simulator.config import SETTABLE
from simulator.desk.spec import Times
from simulator.errors import UsageError
from simulator.llm.gateway import Mode
from simulator.number_format import write_setting
from simulator.replay.inputs import Engine

MAX_COST = 5.0

HOURS = {f"schedule.{name}" for name in Times.model_fields}
"""Points of a desk's day, which are its own: config/schedule.yaml has none of these keys."""

Batch = Literal["all", "meetings"]

CacheMode = Literal[Mode, "verify-opinions"]
"""Mode of the gateway, and ``verify-opinions``: as ``record``, with every kept opinion formed again and compared."""


def check_max_cost(usd: float) -> None:
    """Raise UsageError for what is no limit: NaN, infinite, negative, no number."""
    if isinstance(usd, bool) or not isinstance(usd, Real) or not 0 <= usd < math.inf:
        raise UsageError(f"--max-cost was {usd}", mend="give the dollars that may be spent, a number of 0 or more")


@dataclass(frozen=True)
class RunSpec:
    """Specification of a run. `last` None = the last session that all symbols have.

    `bars` is a folder whose bars come before those of the workspace.
    `max_cost` (dollars this run may spend), `cache` and `batch` (``all`` or ``meetings`` through batches) decide
    whether there are answers, never what they are; `engine` decides who plays and who audits, never the books.
    `by_tool`: a model asked for it by a tool, and no person.
    """

    strategy: str | type | Callable[..., Any]
    symbols: tuple[str, ...]
    first: date
    last: date | None = None
    models: str | None = None
    cache: CacheMode = "record"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    replicates: int = 1
    max_cost: float = MAX_COST
    engine: Engine = "auto"
    batch: Batch | None = None
    bars: str | None = None
    by_tool: bool = False

    @property
    def own(self) -> Mapping[str, object]:
        """Parameters of the strategy itself."""
        return {name: self.parameters[name] for name in split_parameters(self.parameters)[0]}

    @property
    def overrides(self) -> Mapping[str, object]:
        """Parameters that stand in ``config/``, by file and key: ``costs.slippage_bps``."""
        return {name: self.parameters[name] for name in split_parameters(self.parameters)[1]}

    @property
    def mode(self) -> Mode:
        """Mode of the gateway."""
        return "record" if self.cache == "verify-opinions" else self.cache

    def command(self, strategy: str, last: date) -> str:
        """Return what makes this run again, with everything that was left open filled in: a `sim run`, or the call of a
        strategy that was passed from Python."""
        if not isinstance(self.strategy, str):
            given = (
                *(("symbols", list(self.symbols)), ("start", str(self.first)), ("end", str(last))),
                *(("models", self.models), ("parameters", dict(self.parameters)), ("bars", self.bars)),
            )
            told = "".join(f", {name}={value!r}" for name, value in given if value)
            return f"simulator.run({strategy}{told})"
        words = ["sim", "run", "--strategy", strategy, "--symbols", ",".join(self.symbols)]
        words += ["--from", str(self.first), "--to", str(last)]
        if self.models:
            words += ["--models", self.models]
        if self.engine != "auto":
            words += ["--engine", self.engine]
        if self.replicates > 1:
            words += ["--replicates", str(self.replicates)]
        if self.bars:
            words += ["--bars", self.bars]
        for name, value in sorted(self.parameters.items()):
            words += ["--set", f"{name}={write_setting(value)}"]
        return shlex.join(words)


def split_parameters(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return those of `names` that are parameters of the strategy itself, and those that stand in ``config/``."""
    parts: tuple[list[str], list[str]] = ([], [])
    for name in names:
        in_config = "." in name and name.partition(".")[0] in SETTABLE and name not in HOURS
        parts[in_config].append(name)
    return parts
