"""Parts of libraries that wait until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import sys
from simulator.replay.backtrader_feed import bt
from simulator.stats.distributions import student_cdf

student_cdf(0.975, 4.0)
print("backtrader.indicators.sma" in sys.modules, "numpy.f2py.f2py2e" in sys.modules)
from backtrader.indicators import SMA
import numpy.f2py

print(SMA is bt.ind.SMA is bt.indicators.MovAv.SMA, bt.ind.Vortex.__name__, bt.studies.Fractal.__name__)
print(bt.strategies.MA_CrossOver.__name__, callable(numpy.f2py.run_main))
"""


@pytest.mark.medium
def test_what_a_replay_does_not_use_is_loaded_when_used() -> None:
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", LOOK], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:-1] == ["False False", "True Vortex Fractal", "MA_CrossOver True"]
