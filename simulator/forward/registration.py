"""Registration of a forward test: what is tried, on what, and what it is asked, all stated before the first order.

    make_registration ──► Registration ──register──► reports/forward-<strategy>-<id>/registration.json, then an event
                             digest ──► every later report          the two agree, or nothing is traded

The id follows from what was registered: a change of anything has another, and starts with a clock of its own; the old
one stays on record and counts as a trial.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Protocol

from simulator.errors import DataError, UsageError
from simulator.files import locked, read_text, write_file
from simulator.store.events import Event, Stored

FILE = "registration.json"
KIND: Final = "forward.registered"
SEEN = "forward.session"
"""Kind of the event of a session that ended: something was seen of the test."""

NOT_IN_ID = ("registered_at", "earlier", "expected_usd")
"""Parts that follow from when it was registered, and an estimate: the same test again is the same test."""


class Journal(Protocol):
    """The events of forward runs; `simulator.store.Store` is one."""

    def append(self, run_id: str, new: Sequence[Event]) -> None: ...

    def of_forward(self, run_id: str) -> list[Stored]: ...


@dataclass(frozen=True)
class Usual:
    """Usual exposure that a test begins with: mean weights of the registered backtest over so many bars of its own."""

    weights: Mapping[str, float] = field(default_factory=dict)
    bars: int = 0


@dataclass(frozen=True)
class PriorEvidence:
    """The part of the registered backtest after the models' cut-off, carried into the sequence.

    `beyond` is d by session, from `first` to `last`; `level` what a change of level earned of it, per session;
    `trials` are all that count for the backtest: it was chosen among them. `decisions` are its sessions with some.
    """

    first: str
    last: str
    beyond: tuple[float, ...]
    level: float
    decisions: int
    trials: int


@dataclass(frozen=True)
class Registration:
    """All that was registered. Instants and dates are ISO texts; digests are sha256 (hex).

    Attributes
    ----------
    files, prompts : digests of the strategy's files and of the prompts among them, by name
    models : {seat: provider/model}; empty where no model is asked
    config : digest of config/ as it holds for the test, parameters included; `parameters` are those set beside it
    code : digest of the program that registered it
    terms : settings of config/forward.yaml that change what is decided or ordered, and the bars that are traded on
    benchmark, question : of the primary account; the other accounts are secondary and corrected for
    smallest_edge : ratio of d a year that is of interest; `sessions_needed` until it is found four
        times in five
    accounts : {name: number of the broker's account}; another number is refused
    usual, prior : see there; `backtest` is the run_id they come from
    earlier : ids of other registrations of the strategy that were on record
    expected_usd : dollars a session that its models were expected to cost: least, likely, most; None where unknown
    rehearsal : sessions, bars, script and seed of a rehearsal, which is no test; empty for a test
    """

    strategy: str
    files: Mapping[str, str]
    prompts: Mapping[str, str]
    models: Mapping[str, str]
    parameters: Mapping[str, object]
    config: str
    code: str
    symbols: tuple[str, ...]
    benchmark: str
    question: str
    primary: str
    smallest_edge: float
    sessions_needed: int
    accounts: Mapping[str, str]
    registered_at: str
    cash_instrument: str = ""
    backtest: str | None = None
    usual: Usual = field(default_factory=Usual)
    prior: PriorEvidence | None = None
    earlier: tuple[str, ...] = ()
    expected_usd: tuple[float, float, float] | None = None
    rehearsal: Mapping[str, object] = field(default_factory=dict)
    terms: Mapping[str, object] = field(default_factory=dict)

    @property
    def _content(self) -> dict[str, Any]:
        """All fields: what came later to a registration is not in those that do not have it."""
        later = [name for name in ("rehearsal", "terms") if not getattr(self, name)]
        return {name: value for name, value in asdict(self).items() if name not in later}

    @property
    def id(self) -> str:
        """Ten hex digits: run_id of the test's events, part of its folder's name."""
        return _digest({name: value for name, value in self._content.items() if name not in NOT_IN_ID})[:10]

    @property
    def digest(self) -> str:
        """sha256 (hex) of everything that was registered, the instant too."""
        return _digest(self._content)

    @property
    def is_registered(self) -> bool:
        """Return False for the stand-in of an older rehearsal, which registered nothing."""
        return bool(self.code)

    def is_kin(self, other: Registration) -> bool:
        """Return True for the same strategy by name, or by a file that both have: a renamed copy is the same."""
        return self.strategy == other.strategy or bool({*self.files.values()} & {*other.files.values()})

    @property
    def folder(self) -> str:
        """Name of its folder in reports/."""
        return f"forward-{re.sub(r'[^A-Za-z0-9_.-]', '_', self.strategy)}-{self.id}"


def register(registration: Registration, reports: Path, journal: Journal) -> tuple[Registration, bool]:
    """Return what stands on record for the test, and True where this call put it there: file first, then event.

    The same test again, after a restart or a kill in between, finds its record and completes it. Raises DataError where
    file and event differ or either was changed.
    """
    path = reports / registration.folder / FILE
    (reports / registration.folder).mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        fresh = not path.exists()
        if fresh:
            if recorded_digest(registration.id, journal) is not None:
                raise DataError("the registration is on record, its file is gone", where=str(path), mend=MEND)
            earlier = tuple(sorted(one.id for one in registrations(reports) if one.is_kin(registration)))
            registration = replace(registration, earlier=() if registration.rehearsal else earlier)
            write_file(path, write_registration(registration))
        found = read_registration(path)
        known = recorded_digest(found.id, journal)
        if known is None:
            if any((path.parent / "data").glob("*.csv")):  # it has traded: what it did was on record
                mend = "restore the store, sim.db; to begin anew, move this folder away: it stays one more test"
                raise DataError(
                    "the store has lost this test, whose bars are recorded here", where=str(path), mend=mend
                )
            journal.append(
                found.id, [Event(KIND, found.registered_at, None, {"digest": found.digest, **asdict(found)})]
            )
        elif known != found.digest:
            raise DataError("the registration is not the one on record", where=str(path), mend=MEND)
        return found, fresh


def as_begun(made: Registration, reports: Path) -> Registration:
    """Return `made` as the test in `reports` that it goes on with says it: one that differs in the program alone, as
    after an upgrade, or was registered before there were terms; else `made` itself. Raises DataError for one that was
    changed."""
    known = [read_registration(path) for path in reports.glob(f"forward-*/{FILE}")]
    again = [replace(made, code=one.code, terms=made.terms if one.terms else {}) for one in known]
    same = [(one.registered_at, mine) for one, mine in zip(known, again, strict=True) if mine.id == one.id]
    if not same or made.id in {mine.id for _, mine in same}:
        return made
    return max(same, key=lambda one: one[0])[1]


MEND = "put the registered file back, or register anew: `sim forward start` with a changed setting does"


def recorded_digest(registration_id: str, journal: Journal) -> str | None:
    """Return the digest of the registration's event, None where there is none."""
    events = (one.event for one in journal.of_forward(registration_id))
    return next((str(event.payload["digest"]) for event in events if event.kind == KIND), None)


def write_registration(registration: Registration) -> bytes:
    """Return registration.json: its id and digest, and all it holds."""
    content = {"id": registration.id, "digest": registration.digest, **asdict(registration)}
    return (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n").encode()


def read_registration(path: Path) -> Registration:
    """Return the registration at `path`. Raises DataError for one that was changed, or is none."""
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        given = {name: content[name] for name in (one.name for one in fields(Registration)) if name in content}
        found = Registration(**_parse_fields(given))
        sound = content["digest"] == found.digest and content["id"] == found.id
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"no registration can be read ({error})", where=str(path), mend=MEND) from None
    if not sound:
        raise DataError("the registration was changed after it was made", where=str(path), mend=MEND)
    return found


def registrations(reports: Path) -> list[Registration]:
    """Return the tests that stand in `reports`, the oldest first, without rehearsals. Raises DataError for one that was
    changed."""
    found = [read_registration(path) for path in reports.glob(f"forward-*/{FILE}")]
    return sorted((one for one in found if not one.rehearsal), key=lambda one: (one.registered_at, one.id))


def count_trials(registration: Registration, reports: Path, journal: Journal) -> int:
    """Return the tests of the strategy of which a session was seen, earlier or later, this one among them; with the
    trials of its backtest where evidence of that is carried."""
    others = (one for one in registrations(reports) if one.is_kin(registration))
    seen = {one.id for one in others if any(s.event.kind == SEEN for s in journal.of_forward(one.id))}
    return len(seen | {registration.id}) + (registration.prior.trials - 1 if registration.prior else 0)


def find_folder(reports: Path, name: str = "last") -> Path:
    """Return the folder of the forward test or rehearsal of that folder, id or beginning of either; of ``last`` and of
    several the one that was written to last. Raises UsageError where there is none."""
    if os.path.isfile(Path(name) / FILE):  # a name too long for a file is none
        return Path(name)
    known = sorted((one for one in reports.glob("forward-*") if one.is_dir()), key=lambda one: one.stat().st_mtime_ns)
    ids = {one: one.name.rpartition("-")[2] for one in known}
    fits = [one for one in known if name == "last" or one.name.startswith(name) or ids[one].startswith(name)]
    if not name or not fits:
        there = ", ".join(ids.values())
        raise UsageError(
            f'no forward test "{name}"', mend=f"one of {there}" if there else "`sim forward start` begins one"
        )
    return fits[-1]


def _parse_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them, in their types."""
    prior = given["prior"]
    return {
        **given,
        "symbols": tuple(given["symbols"]),
        "earlier": tuple(given["earlier"]),
        "expected_usd": tuple(given["expected_usd"]) if given.get("expected_usd") else None,
        "usual": Usual(**given["usual"]),
        "prior": PriorEvidence(**{**prior, "beyond": tuple(prior["beyond"])}) if prior else None,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()
