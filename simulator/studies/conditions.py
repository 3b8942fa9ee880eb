"""Conditions on the settings of a member, as ``fast < slow``: read by a grammar of their own and never executed.

    fast < slow <= 4 * fast    cadence == "daily" or slow > 50    not (risk.shares == "whole" and accounts.cash < 1000)

Names are parameters; beside numbers, texts and `true`, `false`, `none` there are + - * / // %, comparisons, and, or,
not. A condition is worked out for all members at once.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import UsageError, did_you_mean

Column = NDArray[Any]

LONGEST = 500
CONSTANTS = {"true": True, "false": False, "none": None}
OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Not: np.logical_not,
}
NESTED = (ast.BoolOp, ast.Compare, ast.BinOp, ast.UnaryOp)


@dataclass(frozen=True)
class Condition:
    """A condition as it was written. Raises UsageError where it cannot be read."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
            raise self._refusal("compares nothing")

    @cached_property
    def tree(self) -> ast.expr:
        try:
            if len(self.text) > LONGEST:
                raise self._refusal(f"is longer than {LONGEST} characters")
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refusal("cannot be read") from None
        self._check(tree)
        return tree

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters it speaks of, each once."""
        return tuple(dict.fromkeys(self._names(self.tree)))

    def check_names(self, known: Mapping[str, object]) -> None:
        """Raise UsageError where it speaks of a parameter not among `known`."""
        for name in self.names:
            if name not in known:
                near = did_you_mean(name, known) or f"; there are {', '.join(known)}"
                raise UsageError(f'"{self.text}": no parameter "{name}"{near}')

    def holds(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return (n,) where it holds; `columns` are arrays (n,) or single values, by name of the parameter.

        Raises UsageError where a text is compared with a number.
        """
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(self._value(self.tree, columns))
        except ZeroDivisionError:
            raise self._refusal("divides by zero") from None
        except TypeError:
            raise self._refusal("compares or counts with what is no number") from None
        return found.astype(np.bool_)

    def _value(self, node: ast.expr, columns: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.UnaryOp):
            return OPERATIONS[type(node.op)](self._value(node.operand, columns))
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](self._value(node.left, columns), self._value(node.right, columns))
        if isinstance(node, ast.BoolOp):
            return reduce(OPERATIONS[type(node.op)], (self._value(one, columns) for one in node.values))
        if isinstance(node, ast.Compare):
            values = [self._value(one, columns) for one in (node.left, *node.comparators)]
            steps = zip(node.ops, values, values[1:], strict=False)
            return reduce(np.logical_and, [OPERATIONS[type(op)](left, right) for op, left, right in steps])
        name = _dotted(node)
        return columns[name] if name in columns else CONSTANTS[name.lower()]

    def _check(self, node: ast.expr) -> None:
        for one in ast.walk(node):
            known = isinstance(one, (*NESTED, ast.Name, ast.Attribute, ast.Load)) or type(one) in OPERATIONS
            if not known and not (isinstance(one, ast.Constant) and isinstance(one.value, int | float | str)):
                raise self._refusal(f"{ast.unparse(one) or type(one).__name__} has no meaning here")
            if isinstance(one, ast.Attribute) and not _dotted(one):
                raise self._refusal(f"{ast.unparse(one)} is no name of a parameter")

    def _names(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Name | ast.Attribute):
            if (name := _dotted(node)).lower() not in CONSTANTS:
                yield name
        else:
            for one in ast.iter_child_nodes(node):
                yield from self._names(one)

    def _refusal(self, what: str) -> UsageError:
        return UsageError(f'the condition "{self.text[:80]}" {what}', mend="write e.g. `fast < slow`")


def _dotted(node: ast.AST) -> str:
    """Return ``costs.slippage_bps``; empty for an attribute of anything but a name."""
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""
