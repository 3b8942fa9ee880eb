"""From the chunks of a finished sweep to study.json and inference.parquet, which the same study always gives again."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd

from simulator.analysis.sweep_verdict import judge_sweep
from simulator.analysis.trials import count_trials
from simulator.errors import UsageError
from simulator.evidence.sweep_records import (
    SWEEP_SCHEMA,
    BestRecord,
    HoldOutRecord,
    ParameterRecord,
    StudyRecord,
    SweepOrigin,
    SweepRecord,
    SweepVerdict,
)
from simulator.evidence.sweep_trials import BEGUN, sweep_facts
from simulator.evidence.unrecorded import all_results
from simulator.evidence.verify import sha256
from simulator.evidence.verify_sweep import members_digest
from simulator.files import write_file
from simulator.market.bars import Floats
from simulator.market.months import month_digests
from simulator.runs.execute import FinishedRun
from simulator.runs.exposure import skill_record, skill_series
from simulator.runs.identity import code_version, data_digest
from simulator.runs.measure import session_returns, sharpe_ends
from simulator.runs.spec import RunSpec
from simulator.stats.series import split
from simulator.store.connection import store_place
from simulator.store.evidence import record_parts, record_run
from simulator.store.folders import json_bytes
from simulator.studies.chunks import batch_of
from simulator.studies.hold_out import describe_hold_out, open_hold_out
from simulator.studies.inference import Inference, Members, infer, or_none
from simulator.studies.inputs import SweepInputs
from simulator.studies.planner import kind_of
from simulator.studies.results import SweepFolder
from simulator.studies.splitting import Combinatorial, WalkForward
from simulator.studies.walk_forward import Play, cross_validate, walk


def conclude(inputs: SweepInputs, folder: SweepFolder, play: Play) -> SweepRecord:
    """Write study.json and inference.parquet of the sweep in `folder`, all of whose chunks are there; return the
    former. `play` makes the run of a walk-forward."""
    table = folder.table()
    kept = last_sessions(inputs)
    members = replace(members_of(folder, table), blocks=lambda: (rows[:, kept] for rows in folder.blocks()))
    remembered = None if kept == slice(None) else str(inputs.sessions[kept][0])
    found = infer(members, inputs.study.seed, remembered)
    content = io.BytesIO()
    pd.DataFrame(dict(found.columns)).to_parquet(content, index=False)
    digest = members_digest(folder.blocks(), table.items())
    record: SweepRecord = {
        "identity": {
            **describe_origin(inputs, folder),
            "schema": SWEEP_SCHEMA,
            "digest": digest,
            "code": code_version(),
        },
        "study": _study(inputs),
        "counts": found.counts,
        "inference": found.record,
        "best": _best(inputs, found, table),
    }
    if inputs.memory is not None:
        record["memory"] = inputs.memory
    workspace, played = inputs.workspace, list[FinishedRun]()

    def play_path(spec: RunSpec) -> FinishedRun:
        played.append(play(spec))
        return played[-1]

    _split(inputs, folder, record, play_path)
    place, written = store_place(workspace.registry), json_bytes(record)
    facts = sweep_facts(record, all_results(place, workspace.reports).rows)
    # Recorded first: of a command killed in between the store knows more than there is.
    parts = {"inference.parquet": sha256(content.getvalue())}
    record_run(place, facts, folder.path.name, run_json=sha256(written), parts=parts)
    write_file(folder.path / "inference.parquet", content.getvalue())
    write_file(folder.path / "study.json", written)
    (folder.path / BEGUN).unlink(missing_ok=True)
    judge_again(inputs, folder, record, play)
    for path in played:  # made before the sweep was known to be where its settings come from
        count_trials(workspace, path.folder, path.facts)
        path.build(path.folder)
    return record


def judge_again(inputs: SweepInputs, folder: SweepFolder, record: SweepRecord, play: Play) -> SweepVerdict:
    """Write verdict.json, by the trials there are by now; return it. `play` makes the run that opens a hold-out."""
    workspace = inputs.workspace
    held, before = open_hold_out(inputs, record["best"]["member"], play), _held_before(folder, record)
    seen = all_results(store_place(workspace.registry), workspace.reports)
    beyond = folder.series(record["best"]["member"])
    judged = record["memory"]["judged"] if "memory" in record else None
    verdict = judge_sweep(seen, record, folder.path, beyond if judged is None else beyond[-judged:])
    verdict["hold_out"] = describe_hold_out(inputs, record, seen, held, before)
    written, known = json_bytes(verdict), record["identity"]
    parts = {"verdict.json": sha256(written)}
    record_parts(store_place(workspace.registry), known["run_id"], known["digest"], parts)
    write_file(folder.path / "verdict.json", written)
    return verdict


def _split(inputs: SweepInputs, folder: SweepFolder, record: SweepRecord, play: Play) -> None:
    """Add walk-forward and cross-validation to `record`: on the sessions after the cut-off of models that were asked,
    where they hold the splits."""
    study = inputs.study
    if study.walk_forward is not None:
        kept, notes = _splittable(inputs, study.walk_forward)
        walked = walk(study, study.walk_forward, inputs.sessions[kept], partial(_columns, folder, kept), play)
        record["walk_forward"] = {**walked, "notes": [*walked["notes"], *notes]}
    if study.combinatorial is not None:
        kept, notes = _splittable(inputs, study.combinatorial)
        paths = cross_validate(study.combinatorial, inputs.sessions[kept], partial(_columns, folder, kept))
        record["combinatorial"] = {**paths, "notes": notes} if notes else paths


def _columns(folder: SweepFolder, kept: slice) -> Iterator[Floats]:
    return (rows[:, kept] for rows in folder.blocks())


def _splittable(inputs: SweepInputs, given: WalkForward | Combinatorial) -> tuple[slice, list[str]]:
    """Return the sessions that are split, and a note where a model may remember some, or some are left out for that."""
    memory, kept = inputs.memory, last_sessions(inputs)
    if memory is None or memory["judged"] == len(inputs.sessions):
        return slice(None), []
    if memory["judged"] is not None:
        with suppress(UsageError):
            given.splits(memory["judged"])
            return kept, [f"sessions before {inputs.sessions[kept][0]}, which models may remember, are left out"]
    since = f"the {memory['after']} sessions after their cut-off, {memory['cutoff']}, are too few for these splits"
    why = since if memory["cutoff"] else "their cut-off is not known"
    return slice(None), [f"models may remember these sessions: {why}"]


def last_sessions(inputs: SweepInputs) -> slice:
    """Return the sessions that are judged: all, or the last, after the cut-off of the models that were asked."""
    judged = None if inputs.memory is None else inputs.memory["judged"]
    return slice(None) if judged is None or judged == len(inputs.sessions) else slice(-judged, None)


def _held_before(folder: SweepFolder, record: SweepRecord) -> HoldOutRecord | None:
    """Return what the verdict.json there is of the same result says of the hold-out."""
    try:
        found: SweepVerdict = json.loads((folder.path / "verdict.json").read_bytes())
        return found["hold_out"] if found["digest"] == record["identity"]["digest"] else None
    except (OSError, ValueError, KeyError):
        return None


def members_of(folder: SweepFolder, table: pd.DataFrame) -> Members:
    """Return the members of the sweep in `folder`, of which `table` has the measures."""
    level, decisions, held, sharpe = (
        table[name].to_numpy(np.float64) for name in ("level", "decisions", "held", "sharpe")
    )
    failed = ~np.isfinite(table["total_return"].to_numpy(np.float64))
    return Members(folder.blocks, np.nan_to_num(level), np.nan_to_num(decisions), held == 1, failed, sharpe)


def describe_origin(inputs: SweepInputs, folder: SweepFolder) -> SweepOrigin:
    """Return what the sweep in `folder` is of, which is known before a member is played."""
    base, staged = inputs.study.base, inputs.staged(inputs.member(0))
    bars = staged.inputs.bars
    loaded = inputs.strategy
    return {
        "run_id": folder.path.name.rpartition("-")[2],
        "strategy": loaded.strategy.name,
        "symbols": list(base.symbols),
        "from": str(base.first),
        "to": str(staged.last),
        "sessions": len(inputs.sessions),
        "definition": loaded.definition or "",
        "bar_months": month_digests(bars, bars.dates[staged.inputs.start].astype(date)),
        "data_digest": data_digest(staged.inputs),
        "command": inputs.study.command(loaded.strategy.name, staged.last),
    }


def _study(inputs: SweepInputs) -> StudyRecord:
    study = inputs.study
    space = study.space
    parameters: list[ParameterRecord] = [
        {"name": one.name, "values": list(one.values), "spread": asdict(one.spread) if one.spread else None}
        for one in space.parameters
    ]
    if not inputs.of_council:
        for one in parameters:
            one["kind"] = kind_of(one["name"])
    return {
        "search": space.search,
        "seed": study.seed,
        "fixed": dict(study.base.parameters),
        "parameters": parameters,
        "constraints": [one.text for one in space.where],
        "hold_out": str(study.hold_out.first) if study.hold_out else None,
    }


def _best(inputs: SweepInputs, found: Inference, table: pd.DataFrame) -> BestRecord:
    """The member the verdict speaks of, played again with its books."""
    number = found.record["best"]
    member, settings = inputs.member(number), inputs.study.space.settings(number)
    batch, free = batch_of(inputs, [member]), inputs.free(member)
    rules, instrument = member.rules.execution, inputs.config.assets.cash_instrument
    ledger = batch.ledger(0)
    kept = np.zeros(len(free), dtype=np.bool_)
    kept[last_sessions(inputs)] = True
    series = skill_series(ledger, batch.tape(0), rules, member.cash, free, instrument).rows(kept)
    interval, _ = split(sharpe_ends(session_returns(ledger, member.cash)[kept], free[kept]))
    measures = table.drop(columns=list(settings)).iloc[number].to_dict()
    return {
        "member": number,
        "settings": dict(settings),
        "command": inputs.command(number),
        "measures": {str(name): or_none(float(value)) for name, value in measures.items()},
        "interval": interval,
        "skill": skill_record(series),
        "p": found.record["p"],
    }
