"""Evidence verified: the files of a run folder held against its run.json, and that against the store.

    every file ──sha256──► `parts` of run.json ──sha256──► `run.recorded` in the store
    report, ablation, checks ──sha256──────────────────► `part.added` in the store

trials.json and runtime.json differ between reruns: they stand in no digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simulator import files
from simulator.errors import DataError, SimError
from simulator.evidence.reader import read_run, read_runtime
from simulator.evidence.records import RunRecord
from simulator.store.folders import ADDED_LATER, NAMED, find_run, folder_name, is_partial, partial_name, run_id_of
from simulator.workspace import Workspace

RESULT_FILES = ("decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "equity.csv", "weights.csv")
FURTHER = ("decisions-replicate-", "accounts/")
"""Beginnings of the names of further files of a result."""

MAKERS = {
    "ablati": "ablate",
    "checks": "check",
    "factor": "report --factors FILE",
    "compar": "compare OTHER",
    "report": "report",
}
REPORTS = ("report.html", "report.md", "report.json", "report.png")
"""Files made of all the others, recorded when they are written since version 0.2."""

FORCE = "--force shows it all the same"
ELSEWHERE = "not recorded here: its run.json is held against nothing"
EARLIER = "not recorded here: an earlier version wrote it, without digests of all its files"


@dataclass(frozen=True)
class Verified:
    """Verified run folder: sentences on what has `changed` in it, and `notes` on what could not be verified.

    `recorded` is True where its run.json is one the store knows.
    """

    folder: Path
    run: RunRecord
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recorded: bool = False

    @property
    def altered(self) -> str:
        """The badge of a folder that is shown all the same; empty where nothing has changed."""
        return f"altered: {'; '.join(self.changed)}" if self.changed else ""


@dataclass
class _Found:
    changed: list[str]
    notes: list[str] = field(default_factory=list)
    recorded: bool = False


def result_digest(files: Mapping[str, bytes]) -> str:
    """sha256 (hex) over the result files, decisions of further replicates and the other accounts, names included."""
    h = hashlib.sha256()
    for name in (*RESULT_FILES, *sorted(name for name in files if name.startswith(FURTHER))):
        h.update(name.encode() + b"\0" + files[name] + b"\0")
    return h.hexdigest()


def part_digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """{name: sha256 (hex)} of every file that stands in run.json."""
    return {name: sha256(files[name]) for name in sorted(files)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def open_run(workspace: Workspace, name: str, force: bool = False) -> Verified:
    """Find the run `name` and verify its folder.

    Raises UsageError where there is none, DataError for one that cannot be read, and without `force` for one that has
    changed since it was made.
    """
    found = verify_run(workspace, find_run(workspace.reports, name))
    if found.changed and not force:
        raise DataError("; ".join(found.changed), where=str(found.folder), mend=f"{_mend(found)}, {FORCE}")
    return found


def _mend(found: Verified) -> str:
    if found.changed[0].startswith("the folder is named"):
        return "give it back the name of the run it holds"
    added = [name for name in (*ADDED_LATER, *REPORTS) if any(why.startswith(name) for why in found.changed)]
    if len(added) < len(found.changed):
        return f"`{found.run['command']}` writes it again"
    return f"delete {' and '.join(added)}, `sim {MAKERS[added[0][:6]]} {found.run['run_id']}` makes them again"


def verify_run(workspace: Workspace, folder: Path) -> Verified:
    """Hold `folder` against its run.json, and that against the store. Raises DataError for a run.json that is none."""
    files.sweep(folder)
    while True:
        before = files.identity(folder)
        run = read_run(folder, trials=False)
        found = _Found(list(changed_parts(folder, run)))
        _ask_store(workspace, folder, run, found)
        _check_name(folder, run, found)
        _check_runtime(folder, run, found)
        # A run that is made again meanwhile puts another folder in this place.
        if not found.changed or files.identity(folder) == before:
            return Verified(folder, run, tuple(found.changed), tuple(found.notes), found.recorded)


def verify_folders(workspace: Workspace, folders: Iterable[Path], gone: bool = False) -> list[dict[str, object]]:
    """Return what `sim verify --json` prints of each folder: its name, run id, digest, state, changes and notes.

    ``state`` is verified, changed or unrecorded; with `gone` also missing, for recorded runs without a folder.
    """
    from simulator.evidence.sweep_reader import is_sweep
    from simulator.store.database import open_store

    rows: list[dict[str, object]] = []
    for folder in folders:
        try:
            if not (folder / "run.json").exists() and is_sweep(folder):
                from simulator.evidence.verify_sweep import verify_sweep

                rows.append(verify_sweep(workspace, folder))
                continue
            one = verify_run(workspace, folder)
        except DataError as error:
            rows.append(verification_row(folder.name, None, "changed", (str(error),)))
            continue
        state = "changed" if one.changed else "verified" if one.recorded else "unrecorded"
        rows.append(verification_row(folder.name, one.run, state, one.changed, one.notes))
    if gone:
        there = {row["folder"] for row in rows}
        with open_store(workspace) as store:
            rows += [
                verification_row(row["folder"], row, "missing") for row in store.runs() if row["folder"] not in there
            ]
    return rows


def verification_row(
    folder: str,
    run: Mapping[str, object] | None,
    state: str,
    changed: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> dict[str, object]:
    """Return one of the rows of `verify_folders`."""
    ids = {name: run[name] if run else None for name in ("run_id", "digest")}
    return {"folder": folder, **ids, "state": state, "changed": list(changed), "notes": list(notes)}


def verify(folder: Path, run: RunRecord) -> None:
    """Raise DataError where the result files in `folder` are not those whose digest stands in its run.json `run`."""
    mend = f"`{run['command']}` writes it again"
    names = [*RESULT_FILES, *(name for name in _further(folder) if Path(name).name in RESULT_FILES or "/" not in name)]
    try:
        found = result_digest({name: files.read_bytes(folder / name) for name in names})
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(error.filename), mend=mend) from None
    if found != run["digest"]:
        mismatch = f"holds another result ({found[:10]}) than run.json names ({run['digest'][:10]})"
        raise DataError(mismatch, where=str(folder), mend=mend)


def check_parts(folder: Path, run: RunRecord, names: Iterable[str] | None = None) -> None:
    """Raise DataError where a file of `folder`, or one of `names`, is not the one `run` was written with."""
    if changed := next(changed_parts(folder, run, names), None):
        raise DataError(changed, where=str(folder), mend=f"`{run['command']}` writes it again")


def _check_runtime(folder: Path, run: RunRecord, found: _Found) -> None:
    try:
        read_runtime(folder, run)
    except DataError as error:
        found.notes.append(f"runtime.json {error.found}: run time and spending are unknown")


def own_name(run: RunRecord) -> str:
    """Return the name of the folder that `run` was written to."""
    stopped = run.get("stopped")
    name = folder_name(run["strategy"], run["from"], stopped["to"] if stopped else run["to"], run["run_id"])
    return partial_name(name) if run.get("partial") else name


def _check_name(folder: Path, run: RunRecord, found: _Found) -> None:
    """Add what is wrong with the name of `folder`: another run's is a change, one that is no run's a note."""
    own = own_name(run)
    # Not resolved: what a link is called counts, and the current folder has a name of its own.
    name = folder.absolute().name
    if name == own:
        return
    another = NAMED.fullmatch(name) and (run_id_of(name), is_partial(name)) != (run_id_of(own), is_partial(own))
    (found.changed if another else found.notes).append(f"the folder is named {name}, but holds {own}")


def changed_parts(folder: Path, run: RunRecord, names: Iterable[str] | None = None) -> Iterator[str]:
    """Yield a sentence for each file of `folder`, or of `names`, that is not the one `run` was written with."""
    parts = run.get("parts")
    if parts is None:
        # Version 1 took its digest over other files.
        if run["schema"] > 1:
            try:
                verify(folder, run)
            except DataError as error:
                yield error.found
        return
    for name in parts if names is None else names:
        try:
            if sha256(files.read_bytes(folder / name)) != parts.get(name):
                yield f"{name} has changed since the run was made"
        except FileNotFoundError:
            yield f"{name} is missing"
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror})"
    if names is None:
        yield from (f"{name} was added since the run was made" for name in _further(folder) if name not in parts)


def _further(folder: Path) -> list[str]:
    paths = [*folder.glob("decisions-replicate-*.jsonl"), *folder.glob("accounts/*/*")]
    return [path.relative_to(folder).as_posix() for path in paths]


def _ask_store(workspace: Workspace, folder: Path, run: RunRecord, found: _Found) -> None:
    from simulator.store.connection import store_place
    from simulator.store.evidence import read_evidence

    own = sha256(files.read_bytes(folder / "run.json"))
    try:
        stored = read_evidence(store_place(workspace.registry), {run["run_id"], run_id_of(folder.name)})
    except SimError as error:
        found.notes.append(f"not held against the store: {error}")
        return
    result = (run["run_id"], run["digest"])
    known = [one for one in stored if one.event.kind == "run.recorded"]
    digests = {one.event.payload["run_json"] for one in known if "run_json" in one.event.payload}
    here = folder.resolve().parent == workspace.reports.resolve()
    ours = [
        one
        for one in known
        if "run_json" in one.event.payload
        and ((one.run_id, one.digest) == result or (here and one.event.payload["folder"] == folder.name))
    ]
    found.recorded = own in digests
    if not found.recorded and ours:
        found.changed.append("run.json is not the one that was recorded")
    elif not found.recorded:
        found.notes.append(EARLIER if known or "parts" not in run else ELSEWHERE)
    added = [one.event.payload.get("parts", {}) for one in stored if one.digest == result[1]]
    for name in (*ADDED_LATER, *REPORTS):
        recorded = {parts[name] for parts in added if name in parts}
        try:
            now = sha256(files.read_bytes(folder / name))
        except FileNotFoundError:
            continue
        except OSError as error:
            if name not in REPORTS or not (folder / name).is_dir():  # whoever builds the report says what to do
                found.changed.append(f"{name} cannot be read ({error.strerror})")
            continue
        if recorded and now not in recorded:
            found.changed.append(f"{name} has changed since it was written")
        elif not recorded and found.recorded and name not in REPORTS:
            found.notes.append(f"{name} is not recorded here")


def add_parts(workspace: Workspace, run: RunRecord, folder: Path, content: Mapping[str, bytes]) -> None:
    """Record files that another command adds to a run's folder, and put them there.

    Recorded first: of a command killed in between the store knows more than there is, and what is there stays known.
    Raises SimError where the store or the folder cannot be written.
    """
    from simulator.store.connection import store_place
    from simulator.store.evidence import record_parts
    from simulator.store.folders import add_files

    record_parts(store_place(workspace.registry), run["run_id"], run["digest"], part_digests(content))
    add_files(folder, content)


def record_page(workspace: Workspace, run: RunRecord, page: Path) -> Path:
    """Record a page that was built for `run`, and return it. Raises SimError where the store cannot be written."""
    from simulator.store.connection import store_place
    from simulator.store.evidence import record_parts

    record_parts(
        store_place(workspace.registry), run["run_id"], run["digest"], {page.name: sha256(files.read_bytes(page))}
    )
    return page
