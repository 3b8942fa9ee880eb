"""Rows of a table held as columns: a row is made an object when it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

R = TypeVar("R")


def column_of(rows: Sequence[Any], name: str) -> Sequence[Any]:
    """Return one field of rows, which need not be columns."""
    return rows.column(name) if isinstance(rows, RowTable) else [vars(row)[name] for row in rows]


class RowTable(Sequence[R], Generic[R]):
    """Rows of one `kind`, whose fields name the columns, each of them a sequence of M values."""

    def __init__(self, kind: type[R], columns: Mapping[str, Sequence[Any]]) -> None:
        self.kind, self.columns = kind, columns

    def column(self, name: str) -> Sequence[Any]:
        """Return the (M,) values of one field."""
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[R]: ...
    def __getitem__(self, at: int | slice) -> R | Sequence[R]:
        if isinstance(at, slice):
            return RowTable(self.kind, {name: values[at] for name, values in self.columns.items()})
        return self.kind(*(values[at] for values in self.columns.values()))

    def __iter__(self) -> Iterator[R]:
        return map(self.kind, *self.columns.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as that of a list
