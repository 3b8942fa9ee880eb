"""Strategy files, loaded by path: one class each, under a module name nothing else can import by accident."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from simulator.errors import UsageError
from simulator.files import read_bytes
from simulator.rules.base import Rule
from simulator.rules.failure import OTHERS, StrategyError, as_strategy_error, relative_path
from simulator.trading.strategy import Strategy, is_strategy_class

MEMBERS = ("name", "cadence", "window", "reads", "opine", "decide")
"""What the Strategy protocol declares, and a class that is derived from it has to write."""


def load_rule(path: Path, parameters: Mapping[str, Any] | None = None) -> Rule | Strategy[Any]:
    """The one strategy in the Python file `path`, made with `parameters`; its name is the file's.

    A class counts when it is defined in the file, public, and a Rule or has all that the Strategy protocol asks for.
    Raises StrategyError (file and line) when the file or the class fails or when there is not exactly one class;
    UsageError for a parameter the class does not have.
    """
    kind = _only_class(_execute(path), path)
    try:
        strategy: Any = kind(**(parameters or {}))
        strategy.name = path.stem
        if isinstance(strategy, Rule):
            strategy.file = path
        # Properties of the user's: they fail here rather than in the middle of a run.
        _ = int(strategy.window), isinstance(strategy, Rule) or strategy.reads
    except OTHERS:
        raise
    except BaseException as error:
        raise as_strategy_error(error, path) from error
    loaded: Rule | Strategy[Any] = strategy
    return loaded


def _execute(path: Path) -> ModuleType:
    try:
        source = read_bytes(path)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=relative_path(path)) from None
    # Two workspaces may each hold a `mine.py`; the digest keeps their modules apart.
    digest = hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:12]
    module = ModuleType(f"_sim_strategy_{path.stem}_{digest}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and typing look their class's module up
    try:
        # Compiled here rather than imported: an import would leave __pycache__ in the user's folder.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except OTHERS:
        del sys.modules[module.__name__]
        raise
    except BaseException as error:
        del sys.modules[module.__name__]
        raise as_strategy_error(error, path) from error
    return module


def _only_class(module: ModuleType, path: Path) -> Any:
    found = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]
    public = [kind for kind in dict.fromkeys(found) if not kind.__name__.startswith("_")]
    kinds = [kind for kind in public if issubclass(kind, Rule) or is_strategy_class(kind)]
    if not kinds:
        raise StrategyError(
            "holds no strategy",
            where=f"{relative_path(path)}:1",
            mend="write one class derived from simulator.rules.Rule with a method weights(self, market)",
        )
    if len(kinds) > 1:
        lines = ", ".join(f"{kind.__name__} (line {inspect.getsourcelines(kind)[1]})" for kind in kinds)
        raise StrategyError(
            f"holds {len(kinds)} strategies: {lines}",
            where=f"{relative_path(path)}:{inspect.getsourcelines(kinds[1])[1]}",
            mend="keep one class per file, or start the names of base classes with an underscore",
        )
    if missing := sorted(getattr(kinds[0], "__abstractmethods__", ())):
        raise StrategyError(
            f"{kinds[0].__name__} has no method {', '.join(missing)}",
            where=f"{relative_path(path)}:{inspect.getsourcelines(kinds[0])[1]}",
            mend="write def weights(self, market) returning target weights, e.g. {'SPY': 0.6}",
        )
    declared = [name for name in MEMBERS if getattr(kinds[0], name, None) is getattr(Strategy, name)]
    if declared:
        raise StrategyError(
            f"{kinds[0].__name__} has no {', '.join(declared)} of its own",
            where=f"{relative_path(path)}:{inspect.getsourcelines(kinds[0])[1]}",
            mend="give it what simulator.Strategy declares, or derive from simulator.rules.Rule",
        )
    return kinds[0]
