"""Check of events of forward tests by the readers that a loop, the pages and a report read them with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from simulator.errors import SimError
from simulator.forward.approvals import KINDS, Approval, fold
from simulator.forward.closing import KIND as CLOSING
from simulator.forward.closing import read
from simulator.forward.payloads import from_json
from simulator.forward.state import State
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.trading.orders import Origin

Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[Amount, Field(ge=0.0)]
Version = Annotated[int, Field(strict=True)]
Instant = Annotated[str, AfterValidator(datetime.fromisoformat)]
Day = Annotated[str, AfterValidator(date.fromisoformat)]


@dataclass
class _Point:
    name: str
    state: str
    calls: Count = 0.0
    failed_calls: Count = 0.0
    cost_usd: Amount = 0.0


@dataclass
class _Fill:
    quantity: Amount
    price: Amount


@dataclass
class _Split:
    symbol: str
    session: Day
    ratio: Annotated[Amount, Field(gt=0.0)]


@dataclass
class _Review:
    scores: dict[str, Amount] | None = None


@dataclass
class _Asked:
    decided_at: Instant
    deadline: Instant
    price_then: Amount | None
    thesis: list[str]
    reviews: list[_Review]
    kill_shots: list[str]
    dissent: str
    rules: list[str]
    version: Version


@dataclass
class _Answered:
    id: str
    version: Version
    changes: dict[str, Amount] = field(default_factory=dict)


@dataclass
class _Stopped:
    why: str


@dataclass
class _Named:
    name: str


@dataclass
class _Alert:
    kind: str
    text: str


@dataclass
class _Registered:
    digest: str


@dataclass
class _Parts:
    parts: dict[str, Any]


@dataclass
class _Recorded:
    folder: str


@dataclass
class _Acted:
    by: str
    action: str


@dataclass
class _Question:
    question: str
    by: str


SHAPES: dict[str, TypeAdapter[Any]] = {
    kind: TypeAdapter(shape)
    for kind, shape in {
        "forward.registered": _Registered,
        "forward.stopped": _Stopped,
        "forward.paused": _Stopped,
        "forward.resumed": _Stopped,
        "forward.asked": _Named,
        "forward.point": _Point,
        "forward.alert": _Alert,
        "forward.fill": _Fill,
        "forward.split": _Split,
        "approval.asked": _Asked,
        "approval.given": _Answered,
        "approval.refused": _Answered,
        "approval.expired": _Answered,
        "part.added": _Parts,
        "run.recorded": _Recorded,
        "web.acted": _Acted,
        "question.answered": _Question,
    }.items()
}
"""What commands and pages take from an event without asking whether it is there."""


def refuse_unreadable(store: Store) -> None:
    """Raise SimError at the first event of a forward test, a page, a question or a run's folder that no reader
    understands; events in a run are read where its tables are computed."""
    states: dict[tuple[str, str], State] = {}
    trades: dict[str, dict[str, Approval]] = defaultdict(dict)
    for stored in chain(store.of_forward(None), store.evidence({str(one["run_id"]) for one in store.runs()})):
        try:
            _read(stored, states, trades)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else _first_line(error)
            what = f"event {stored.position}, {stored.event.kind} of {stored.run_id}, cannot be read: {why}"
            raise SimError(what) from None


def _first_line(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _read(stored: Stored, states: dict[tuple[str, str], State], trades: dict[str, dict[str, Approval]]) -> None:
    event, run = stored.event, stored.run_id
    if event.at is not None:
        datetime.fromisoformat(event.at)
    if (shape := SHAPES.get(event.kind)) is not None:
        shape.validate_python(from_json(event.payload))
    if event.kind in KINDS:
        trades[run] = fold(trades[run], [stored])
    elif event.kind == CLOSING:
        if event.payload["state"] == "done":
            read(event.payload)
        _ = event.payload["thrown"]
    elif event.kind == "forward.started" and not event.payload:
        raise KeyError("strategy")
    else:
        for name, one in dict(event.payload.get("opening", {})).items():
            _ = str(one["number"])
            states.setdefault((run, name), State(Origin(run, name))).begin(one)
        account = event.account or ""
        states.setdefault((run, account), State(Origin(run, account))).apply(event.kind, event.payload)
