"""``simulator.runs()`` returns the runs of a workspace as a DataFrame, the newest last, as ``sim runs`` lists them: see
:func:`simulator.api.runs`. This module can be called, because the package and that function share the name people
expect.

In here a run is made: what was typed, its inputs, the replay, the measures, the folder.
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
