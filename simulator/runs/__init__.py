"""Making a run: what was typed, its inputs, the replay, the measures, the folder.

``simulator.runs()`` lists the runs made so far: this module can be called, because the package and that function share
the name people expect.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    import pandas as pd


class _Listing(ModuleType):
    def __call__(self, workspace: str | os.PathLike[str] | None = None) -> pd.DataFrame:
        """See :func:`simulator.api.runs`."""
        from simulator.api import runs

        return runs(workspace)


sys.modules[__name__].__class__ = _Listing
