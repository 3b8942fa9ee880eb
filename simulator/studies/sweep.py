"""A sweep from its study to its folder: the one way for the command line and Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.evidence.sweep_records import SweepRecord
from simulator.runs.identity import code_digest, data_digest, digest_of
from simulator.studies.conclude import conclude
from simulator.studies.executors import play_chunks
from simulator.studies.inputs import SweepInputs
from simulator.studies.results import SweepFolder
from simulator.studies.study import Study
from simulator.studies.walk_forward import Play
from simulator.workspace import Workspace

CHUNK = 250
"""Members of a chunk: what is lost when a process is killed, and what a task of a cluster is."""


@dataclass(frozen=True, eq=False)
class FinishedSweep:
    """A sweep with its folder and study.json."""

    study: Study
    folder: SweepFolder
    record: SweepRecord


def run_sweep(
    study: Study,
    workspace: Workspace,
    progress: Callable[[int, int], None] | None = None,
    play: Play | None = None,
) -> FinishedSweep:
    """Play what is not there yet of the members of `study`, then conclude; `play` makes the run of a walk-forward.

    Raises the errors of `simulator.errors`.
    """
    inputs = SweepInputs(study, workspace)
    folder = SweepFolder(workspace.reports / sweep_name(inputs))
    spans = [(n, min(n + CHUNK, len(study))) for n in range(0, len(study), CHUNK)]
    missing = [span for span in spans if not folder.has(span[0])]
    done = len(study) - sum(end - first for first, end in missing)
    for chunk in play_chunks(inputs, missing):
        folder.keep(chunk)
        done += len(chunk.beyond)
        if progress is not None:
            progress(done, len(study))
    return FinishedSweep(study, folder, conclude(inputs, folder, play))


def sweep_name(inputs: SweepInputs) -> str:
    """Return the folder's name: strategy, period and ten hex digits of everything the results follow from."""
    study, member = inputs.study, inputs.member(0)
    staged = inputs.staged(member)
    made_of = [
        {**study.described(), "to": str(staged.last)},
        [inputs.config.dump(), data_digest(staged.inputs), code_digest()],
    ]
    name = member.rule.name
    return f"sweep-{name}-{study.base.first}-{staged.last}-{digest_of(made_of)[:10]}"
