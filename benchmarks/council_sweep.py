"""Sweep of a council: 10,000 ways of sizing, stops and costs on the answers of a year, in CPU seconds; no question.

Run it as ``python benchmarks/council_sweep.py``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from simulator.studies.study_file import make_study
from simulator.studies.sweep import Sweep
from simulator.workspace import Workspace, make_workspace

SETS = (("trade.scale", "0.1:2.5:0.1"), ("trade.stops", "0:4.75:0.25"), ("costs.slippage_bps", "0:19:1"))


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "w"
        make_workspace(root, git=False)
        workspace = Workspace(root, root)
        typed = {"symbols": ("SPY", "QQQ"), "first": "2024-01-02", "last": "2024-12-30"}
        Sweep(make_study(workspace, None, [("trade.scale", "1,2")], **typed), workspace).ask()
        begun = time.process_time()
        sweep = Sweep(make_study(workspace, None, list(SETS), **typed), workspace)
        asked, answers = sweep.ask(), time.process_time()
        sweep.play()
        played = time.process_time()
        print(f"{'work':<44}{'ours':>10}{'aim':>8}")
        print(f"{'questions put to a provider':<44}{asked.asked:>10}{0:>8}")
        print(f"{'answers read again, CPU s':<44}{answers - begun:>10.2f}")
        print(f"{'10,000 members played and written, CPU s':<44}{played - answers:>10.2f}")


if __name__ == "__main__":
    main()
