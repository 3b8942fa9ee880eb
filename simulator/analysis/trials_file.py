"""trials.json: how many results a run was chosen among, as the store knows it now.

It stands beside run.json and not in it: the same run is the same bytes, however many others are tried after it.
"""

from __future__ import annotations

from pathlib import Path

from simulator.analysis.trials import FILE, trials_facts
from simulator.evidence.reader import with_trials
from simulator.evidence.records import RunRecord
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.folders import json_bytes, write_file
from simulator.workspace import Workspace


def count_trials(workspace: Workspace, folder: Path, run: RunRecord) -> RunRecord:
    """Write trials.json into the run folder `folder`; returns `run` (run.json) with what it says of the inference.

    The run counts itself, whether it has been recorded yet or not. Raises DataError for a folder that cannot be read,
    SimError for a store that cannot.
    """
    with Store(store_place(workspace.registry)) as store:
        facts = trials_facts(store.results(), run, folder)
    write_file(folder / FILE, json_bytes(facts))
    return with_trials(run, facts)
