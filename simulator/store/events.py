"""Events of a run: facts that are only ever added. Every other table of the store is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from simulator.store.folders import is_partial

Kind = Literal[
    "run.recorded",
    "part.added",
    "meeting.held",
    "checkpoint.held",
    "order.filled",
    "calls.made",
    "approval.asked",
    "approval.given",
    "approval.refused",
    "approval.expired",
    "forward.registered",
    "forward.started",
    "forward.stopped",
    "forward.paused",
    "forward.resumed",
    "forward.asked",
    "forward.stage",
    "forward.point",
    "forward.intent",
    "forward.order",
    "forward.fill",
    "forward.split",
    "forward.session",
    "forward.alert",
    "forward.closing",
    "question.answered",
    "web.acted",
]

KINDS: tuple[str, ...] = get_args(Kind)
OF_FOLDERS: tuple[Kind, ...] = ("run.recorded", "part.added")
"""Events about the folder of a run; all others happened in it."""

REGISTERED = ("run_id", "strategy", "symbols", "from", "to", "digest", "metrics")
"""Facts without which a run is not counted."""
OPTIONAL = ("parameters", "partial", "models", "sessions", "data_digest", "command", "bar_months", "sweep")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `at` is the instant it happened in the market, ISO with New York's offset, None for what has no such instant;
    `account` the name of the account it belongs to, None where it belongs to the whole run. `payload` is plain JSON:
    no NaN, no tuples that must come back as tuples.
    """

    kind: Kind
    at: str | None
    account: str | None
    payload: Mapping[str, Any]


def definition_of(run: Mapping[str, Any]) -> str:
    """Return the digests of what defines the strategy of run.json `run`, a hyphen between; empty where it has none.

    Two that have one in common are one family. Those of a council are its strategy.yaml's and its prompts': an edited
    copy keeps some. Earlier versions recorded of a rule its file's, of a council strategy.yaml's alone.
    """
    if run.get("definition"):
        return str(run["definition"])
    files: Mapping[str, str] = run.get("strategy_files") or {}
    if council := [digest for name, digest in files.items() if name.endswith("strategy.yaml")]:
        return "-".join([*council, *(digest[:16] for name, digest in files.items() if name.endswith(".md"))])
    return next(iter(files.values()), "")


def recording(facts: Mapping[str, Any], folder: str, further: Mapping[str, object]) -> Event:
    """Return the event that counts a run: run.json `facts`, the name of its folder, and what is kept beside them."""
    known = {name: facts[name] for name in REGISTERED} | {name: facts[name] for name in OPTIONAL if name in facts}
    about = {"parameters": {}, "partial": is_partial(folder), "definition": definition_of(facts)}
    return Event("run.recorded", None, None, {**about, **known, **further, "folder": folder})


@dataclass(frozen=True)
class Stored:
    """An event in its place: `position` counts all events of a store from 1, without a gap."""

    position: int
    run_id: str
    digest: str
    recorded_at: str
    event: Event
