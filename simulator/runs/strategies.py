"""Strategies by name: a rule in ``NAME.py``, a council in ``NAME/strategy.yaml``."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from simulator.config import Config, Seat
from simulator.config_errors import say_wanted
from simulator.errors import LLMError, UsageError, did_you_mean
from simulator.files import read_bytes
from simulator.llm.registry import seat_of
from simulator.rules import Rule, RuleStrategy, load_rule
from simulator.rules.functions import rule_of
from simulator.rules.in_turn import in_turn, split_dated
from simulator.trading.strategy import Strategy, is_strategy_class

if TYPE_CHECKING:
    from simulator.council.stages import Gateway

DEFINITION = "strategy.yaml"
DESK = re.compile(r"^kind:\s*[\"']?desk\b", re.MULTILINE)

SEATS = "seats."
SETTINGS = ("model", "temperature", "top_p", "max_tokens", "seed")
"""Settings of the model in a seat that a run may override: ``--set seats.temperature=0.5``."""

SOURCE = "strategy.py"
"""File of a run folder that holds the text of a strategy passed from Python."""

MOST_PASSED = 64
"""Strategies passed from Python that a process remembers, the newest."""

_passed: dict[str, type | Callable[..., Any]] = {}


@dataclass(frozen=True)
class Nobody:
    """A gateway that asks nobody: whatever puts a question here is a bug of `who`."""

    who: str

    async def ask_for(self, request: Any, model: Any, known: Any = None) -> Any:  # noqa: ARG002
        raise LLMError(f"{self.who} asks nobody here, and was about to")


@dataclass(frozen=True)
class Seating:
    """The gateway a strategy asks through, the model in every seat, names of accounts reviewers must not read; `config`
    of the run, by which a desk makes backtests within it."""

    gateway: Gateway
    seats: Mapping[str, Seat]
    accounts: tuple[str, ...]
    config: Config | None = field(default=None, kw_only=True)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A strategy ready to decide.

    Attributes
    ----------
    files : {path relative to the strategies folder, with /: sha256 (hex)} of everything it was made from
    label : what its answers rest on where that is no LLM, e.g. ``rule-based analysts, no LLM``; None where nothing
        is asked or models answer
    parameters : overrides it was loaded with; with `files` they make up its part of a run's id
    source : its text and that of all it reads, where it was passed from Python; None where files hold it
    definition : digest by which a copy of a rule under another name is known (`definition_digest`); empty for councils
    """

    strategy: Strategy[Any]
    files: Mapping[str, str]
    label: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    definition: str = ""


def available(folder: Path) -> tuple[str, ...]:
    """Names of the strategies in `folder`, in alphabetical order."""
    if not folder.is_dir():
        return ()
    rules = (path.stem for path in folder.glob("*.py") if not path.name.startswith(("_", ".")))
    councils = (path.parent.name for path in folder.glob(f"*/{DEFINITION}"))
    return tuple(sorted({*rules, *councils}))


def load_strategy(
    strategy: str | type | Callable[..., Any],
    folder: Path,
    seating: Seating | None = None,
    parameters: Mapping[str, Any] | None = None,
    traded: int = 0,
) -> Loaded:
    """Return the strategy called `strategy` in `folder`, at that path, of that class or function, with
    `parameters`, for so many symbols `traded`.

    A name wins over a path. Raises UsageError for an unknown name (with the nearest one), ConfigError and its kin,
    naming file and line, for a file that is wrong. `seating` is needed by councils only.
    """
    chosen = dict(parameters or {})
    if not isinstance(strategy, str):
        return _from_python(strategy, chosen)
    path = find_strategy(strategy, folder)
    if path.suffix == ".py":
        made = in_turn(partial(load_rule, path), *split_dated(chosen))
        content = read_bytes(path)
        files = {_relative(path, folder): hashlib.sha256(content).hexdigest()}
        return Loaded(_as_strategy(made), files, None, chosen, None, definition_digest(content))
    if dated := [name for name in chosen if "@" in name]:
        raise UsageError(f"{path.parent.name} is no rule", where=dated[0], mend="leave the @DATE out")
    if is_desk_file(path):
        return _desk(path, folder, seating, chosen)
    return _council(path, folder, seating, chosen, traded)


def is_desk_file(path: Path) -> bool:
    """Return True for the strategy.yaml of a desk; what cannot be read is left to whoever reads it whole."""
    if path.name != DEFINITION:
        return False
    try:
        return DESK.search(read_bytes(path).decode("utf-8", "replace")) is not None
    except OSError:
        return False


def definition_digest(source: bytes) -> str:
    """Return two digests (hex, a hyphen between) of what a strategy's file does; copies have one of them in common.

    The first is that of its shape: names it gives itself are numbered as they come, numbers and texts are any, and
    annotations and the vector form, which says the same again, are left out: parameters of other names and defaults
    change nothing. What is imported or asked of others (`market.history`) keeps its name. The second is what earlier
    versions recorded. Both are without comments, layout, docstrings, and the name of the class.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body[0] = ast.Pass()
            if isinstance(node, ast.ClassDef) and node in tree.body:
                node.name = "Strategy"
    exact = ast.unparse(tree)
    shape = ast.unparse(_Shape(tree).visit(tree))
    return "-".join(hashlib.sha256(text.encode()).hexdigest() for text in (shape, exact))


class _Shape(ast.NodeTransformer):
    """Numbers the names that a file gives itself, and makes all numbers alike and all texts."""

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        inside = [one for node in nodes if isinstance(node, ast.ClassDef) for one in node.body]
        of_class = {one.name for one in inside if isinstance(one, ast.FunctionDef)} | _find_stored(inside)
        named = {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | _find_stored(nodes)
        named |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        of_class |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
        self._own = {"id": named, "arg": named, "name": named, "attr": of_class}
        self._numbers: dict[str, str] = {}

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            node = node.operand
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.copy_location(ast.Assign([node.target], node.value), node)
        if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == ["weights_for"]:
            return ast.Pass()
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return ast.Constant("" if isinstance(node.value, str) else 0)
        if not isinstance(node, ast.alias | ast.keyword):
            for part in self._own.keys() & vars(node).keys():
                setattr(node, part, self._number(part, vars(node)[part]))
        for part in {"annotation", "returns"} & vars(node).keys():
            setattr(node, part, None)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self._own["id"]:
            for given in node.keywords:
                given.arg = given.arg and self._number("arg", given.arg)
        return self.generic_visit(node)

    def _number(self, part: str, name: Any) -> Any:
        if name not in self._own[part] or hasattr(Rule, name):
            return name
        return self._numbers.setdefault(name, f"_{len(self._numbers)}")


def _find_stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are given a value in `nodes`, not in what these hold."""
    targets = [one for node in nodes if isinstance(node, ast.Assign) for one in node.targets]
    targets += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    targets += [node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {one.id for one in targets if isinstance(one, ast.Name)}


def find_strategy(name: str, folder: Path) -> Path:
    """Return the file of the strategy of that name in `folder`, or at that path: of a rule, or a council's definition.

    Raises UsageError where there is none."""
    names = available(folder)
    if name in names:
        rule, council = folder / f"{name}.py", folder / name / DEFINITION
        if rule.is_file() and council.is_file():
            raise UsageError(f'"{name}" is both {rule} and {council}', mend="name one of them by its path")
        return rule if rule.exists() else council
    path = Path(name).expanduser()
    if path.is_dir() and (path / DEFINITION).exists():
        path = path / DEFINITION
    if path.exists() and not path.is_dir() and (path.suffix == ".py" or path.name == DEFINITION):
        return path.resolve()
    known = f"there are {', '.join(names)}" if names else f"there is none in {folder}"
    raise UsageError(f'no strategy "{name}"{did_you_mean(Path(name).stem, names)}', mend=known)


def _council(path: Path, folder: Path, seating: Seating | None, parameters: dict[str, Any], traded: int) -> Loaded:
    from simulator.council.spec import load_definition
    from simulator.council.strategy import Council

    if seating is None:
        raise UsageError(f'"{path.parent.name}" is a council and needs models to ask')
    of_seats = {name: value for name, value in parameters.items() if name.startswith(SEATS)}
    definition = load_definition(path, {name: one for name, one in parameters.items() if name not in of_seats})
    seats = override_seats(seating.seats, of_seats, definition.spec.seats) if of_seats else seating.seats
    council = Council(definition, seats, seating.gateway, accounts=seating.accounts, traded=traded)
    base = _relative(path.parent, folder)
    files = {f"{base}/{name}": digest for name, digest in definition.files.items()}
    return Loaded(council, files, _label(council.setup.seats), parameters)


def override_seats(
    seats: Mapping[str, Seat], parameters: Mapping[str, object], taken: Iterable[str]
) -> Mapping[str, Seat]:
    """Return the model of each seat in `taken`, with ``seats.temperature`` of all and ``seats.chairman.model`` of one
    in place. Raises UsageError for a seat or a setting there is not."""
    made = {seat: seat_of(seats, seat) for seat in taken if seat in seats or "*" in seats}
    for parameter, value in parameters.items():
        seat, _, name = parameter.removeprefix(SEATS).rpartition(".")
        if name not in SETTINGS or (seat and seat not in made):
            known, word = (SETTINGS, name) if name not in SETTINGS else (tuple(made), seat)
            near = did_you_mean(word, known)
            raise UsageError(f'no parameter "{parameter}"{near}', mend=f"there are {', '.join(known)}")
        for one in (seat,) if seat else tuple(made):
            try:
                made[one] = Seat.model_validate({**vars(made[one]), name: value})
            except ValidationError as error:
                raise UsageError(f"parameter {parameter} was {value!r}: {say_wanted(error.errors()[0])}") from None
    return {**seats, **made}


def _desk(path: Path, folder: Path, seating: Seating | None, parameters: dict[str, object]) -> Loaded:
    from simulator.desk.agents.analysts import VERSION
    from simulator.desk.agents.personas import AGENTS, load_personas
    from simulator.desk.agents.protocol import Agents
    from simulator.desk.spec import load_definition
    from simulator.desk.strategy import Desk
    from simulator.runs.backtests import BacktesterWithin

    of_seats = {name: value for name, value in parameters.items() if name.startswith(SEATS)}
    own = {name: value for name, value in parameters.items() if name not in of_seats}
    definition = load_definition(path, folder.parent / "config", own)
    agents = None
    base = _relative(path.parent, folder)
    files = {name if "/" in name else f"{base}/{name}": digest for name, digest in definition.files.items()}
    if seating is not None and definition.spec.agents:
        seats = override_seats(seating.seats, of_seats, AGENTS) if of_seats else seating.seats
        personas = load_personas(definition.folder)
        agents = Agents(personas, seats, seating.gateway, VERSION)
        files |= {f"{base}/{one.path.name}": one.digest for one in personas.values()}
    within = None
    if agents is not None and seating is not None and seating.config is not None:
        within = BacktesterWithin(folder, seating.config)
        # What they do stands in the record: another rule is another run.
        rules = [rule for name in definition.house.alternatives if (rule := folder / f"{name}.py").is_file()]
        files |= {rule.name: hashlib.sha256(read_bytes(rule)).hexdigest() for rule in rules}
    desk = Desk(definition, agents, within)
    return Loaded(desk, dict(sorted(files.items())), _label(desk.seats), parameters)


def _label(seats: Mapping[str, Seat]) -> str | None:
    from simulator.council.analysts import LABEL

    offline = sorted(seat for seat, model in seats.items() if model.provider == "offline")
    if not offline:
        return None
    return LABEL if len(offline) == len(seats) else f"{LABEL} (in {', '.join(offline)})"


def _from_python(given: type | Callable[..., Any], parameters: dict[str, Any]) -> Loaded:
    from simulator.rules.python_source import source_of

    kind = given if isinstance(given, type) else rule_of(given)
    if not issubclass(kind, Rule) and not is_strategy_class(kind):
        raise UsageError(f"{kind.__name__} is no strategy", mend="derive it from simulator.rules.Rule")
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        mend = "write def weights(self, market) returning target weights, e.g. {'SPY': 0.6}"
        raise UsageError(f"{kind.__name__} has no method {', '.join(missing)}", mend=mend)
    source = source_of(given)
    digest = hashlib.sha256(source.encode()).hexdigest()
    made = _as_strategy(in_turn(lambda settings: kind(**settings), *split_dated(parameters)))
    _passed.pop(digest, None)
    _passed[digest] = given
    for oldest in list(_passed)[:-MOST_PASSED]:
        del _passed[oldest]
    return Loaded(made, {kind.__name__: digest}, None, parameters, source)


def passed_before(digest: str) -> type | Callable[..., Any] | None:
    """Return the class or function of that source that this process ran before; None where there is none.

    It may have changed since: what loads it again looks at its digest.
    """
    return _passed.get(digest)


def _as_strategy(made: Rule | Strategy[Any]) -> Strategy[Any]:
    return RuleStrategy(made) if isinstance(made, Rule) else made


def list_changed(then: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Return those files of a strategy of `folder`, {name: sha256 (hex)} as `Loaded.files` has them, that are others
    now or gone, as paths from the workspace. Nothing is executed; a strategy that lay elsewhere is not looked for."""
    found: list[str] = []
    for name, digest in then.items():
        inside = folder.parent if name.startswith("config/") else folder
        path = inside / name
        shown = name if inside != folder else f"{folder.name}/{name}"
        if path.is_file():
            found += [shown] if hashlib.sha256(read_bytes(path)).hexdigest() != digest else []
        elif "/" in name and " " not in name:
            found.append(f"{shown} (gone)")
    return tuple(found)


def _relative(path: Path, folder: Path) -> str:
    """Relative to `folder`, or the bare name where it lies elsewhere: a run's id must not depend on the machine."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return path.name
