"""`sim db`: make, upgrade, look at and rebuild the store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.cli.options import AS_JSON
from simulator.printing import say
from simulator.report.renderers.progress import progress_bar

if TYPE_CHECKING:
    from simulator.store.database import Change
    from simulator.workspace import Workspace


@click.group()
def db() -> None:
    """Look after the store: what every run did, in sim.db or in the PostgreSQL that DATABASE_URL names."""


@db.command()
@click.pass_obj
def init(workspace: Workspace) -> None:
    """Make the tables. `sim run` does so too when it needs them."""
    from simulator.store.database import open_store

    with open_store(workspace) as store:
        made = store.init()
        now = store.status()
    say(f"{now.url}: {'made' if made else 'there already'}, revision {now.revision}")


@db.command()
@click.pass_obj
def upgrade(workspace: Workspace) -> None:
    """Bring an older database to the newest revision, rows kept."""
    from simulator.store.database import open_store

    with open_store(workspace) as store:
        before, after = store.upgrade()
        url = store.status().url
    how = "made at" if before is None else "has" if before == after else f"brought from revision {before} to"
    say(f"{url}: {how} revision {after}")


@db.command()
@AS_JSON
@click.pass_obj
def status(workspace: Workspace, as_json: bool) -> None:
    """Show where the store lies, its revision, rows of each table and size. Changes nothing."""
    from simulator.store.database import open_store

    with open_store(workspace) as store:
        now = store.status()
    if as_json:
        say(json.dumps(asdict(now)))
        return
    if now.revision is None:
        say(f"{now.url}: not made yet; `sim run` or `sim db init` makes it")
        return
    newest = "the newest" if now.revision == now.head else f"the newest is {now.head}: `sim db upgrade`"
    say(f"{now.url}: revision {now.revision}, {newest}; {now.size / 1e6:,.1f} MB")
    for name, count in now.rows.items():
        say(f"{count:>11,}  {name}")


@db.command()
@AS_JSON
@click.pass_obj
def rebuild(workspace: Workspace, as_json: bool) -> None:
    """Compute every table again from the events, and tell what differed.

    Run folders in reports/ that are not recorded, as after a store was deleted, are recorded first.
    """
    from simulator.evidence.unrecorded import record_unrecorded
    from simulator.store.database import open_store

    with open_store(workspace) as store:
        recorded = record_unrecorded(store, workspace.reports)
        with progress_bar() as advance:
            done = store.rebuild(lambda done, total: advance(done, total, before="run"))
        url = store.status().url
    if as_json:
        say(json.dumps({"url": url, "recorded": recorded, **asdict(done)}))
        return
    for name in recorded:
        say(f"recorded {name}")
    runs = f"{done.runs:,} run" + "s" * (done.runs != 1)
    say(f"{url}: {done.events:,} events of {runs} make {done.rows:,} rows")
    for name, change in sorted(done.differed.items()):
        say(f"{name}: {_describe(change)}")
    for run, why in done.left.items():
        say(f"{run}: its rows stay as they were: {why}")
    if not done.differed and not done.left:
        say("Every table was as its events have it.")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(workspace: Workspace, file: Path) -> None:
    """Write the whole store, as of one moment, into a new FILE; a loop may go on writing."""
    from simulator.store.backup import back_up
    from simulator.store.connection import store_place

    say(f"{file}: {back_up(store_place(workspace.registry), file):,} events, read again and equal")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Put it in the place of a store that holds events.")
@click.pass_obj
def restore(workspace: Workspace, file: Path, force: bool) -> None:
    """Put the store of a backup FILE in place, here or on the server of DATABASE_URL: all of it or nothing.

    With --force a backup of what was there is made first, in a file beside it.
    """
    from datetime import UTC, datetime

    from simulator.errors import UsageError
    from simulator.forward.readable import refuse_unreadable
    from simulator.forward.switches import read_heartbeats
    from simulator.store.backup import restore as put_back
    from simulator.store.connection import store_place

    for heart in read_heartbeats(workspace):
        if heart.is_running():
            raise UsageError(
                "a loop writes to the store", where=heart.run, mend=f"`sim forward stop {heart.run}` first"
            )
    keep = workspace.registry.with_name(f"sim-before-{datetime.now(UTC):%Y%m%dT%H%M%S}.sqlite") if force else None
    count = put_back(file, store_place(workspace.registry), keep, refuse_unreadable)
    say(f"{count:,} events are back, and every table as they have it")
    if keep is not None and keep.exists():
        say(f"the store that was there is kept: {keep}")


def _describe(change: Change) -> str:
    counts = {"lost": change.lost, "changed": change.changed, "known to no event": change.unknown}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) + "; put right"
