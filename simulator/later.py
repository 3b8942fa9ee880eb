"""Parts of libraries that are loaded when somebody looks into them, where the library would load them at once."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that becomes the real one, together with the others of its `group`, when a name of it is asked for."""

    def __init__(self, name: str, group: tuple[str, ...]) -> None:
        super().__init__(name)
        self._group = group

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__path__", "__all__"):  # asked of every module there is
            raise AttributeError(name)
        for one in self._group:
            if isinstance(sys.modules.get(one), _Later):
                del sys.modules[one]
        whole = [import_module(one) for one in self._group][self._group.index(self.__name__)]
        self.__dict__.update(whole.__dict__)
        return getattr(whole, name)


def load_later(*group: str) -> None:
    """Let these modules wait until one of them is used; nothing where one of them is there already."""
    if not any(name in sys.modules for name in group):
        for name in group:
            sys.modules[name] = waiting = _Later(name, group)
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], last, waiting)
