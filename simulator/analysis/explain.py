"""From an account's numbers back to what they rest on: metrics → trades → decisions → answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias, TypedDict, TypeVar

from simulator.council.records import (
    CheckpointRecord,
    CouncilRecord,
    DecisionRecord,
    MeetingRecord,
    council_record,
    meeting_record,
)
from simulator.errors import UsageError, did_you_mean
from simulator.evidence.members import name_account, who_by_seat
from simulator.evidence.reader import Books, read_books, read_calls, read_run
from simulator.evidence.records import (
    AccountRecord,
    Calibration,
    CallCosts,
    CallRow,
    DecisionRow,
    Metrics,
    Reasons,
    ReviewSkill,
    RunRecord,
)
from simulator.evidence.rows import as_row, decided_by
from simulator.market.bars import instant
from simulator.trading.model import Fill, OrderRecord, Rejection

Occasion: TypeAlias = MeetingRecord | CheckpointRecord
"""The council's record of one hour: facts and decisions."""

R = TypeVar("R", OrderRecord, Fill, Rejection)


@dataclass(frozen=True)
class Explanation:
    """A decision and what came of it; with `symbol` only what concerns it.

    `name` is the account's, behind who answers in its seat; `members` says who answers in each seat, `served` which
    model gave the answer of a key, empty where that was not recorded; `meeting` is the council's record of the same
    hour, where the account is a member's; `fills` and `rejected` followed from `orders` or happened before the next
    decision; `later` are further decisions on that session.
    """

    run: str
    account: str | None
    name: str
    analysts: str | None
    symbol: str | None
    members: Mapping[str, str]
    served: Mapping[str, str]
    decision: DecisionRow
    meeting: Occasion | None
    orders: tuple[OrderRecord, ...]
    fills: tuple[Fill, ...]
    rejected: tuple[Rejection, ...]
    later: tuple[Explanation, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return one object: fields of the decision among the others, rows as in the files of the run."""
        rows = {name: [as_row(row) for row in getattr(self, name)] for name in ("orders", "fills", "rejected")}
        decision = {key: value for key, value in self.decision.items() if key != "session"}
        later = {"later": [one.to_json() for one in self.later]} if self.later else {"later": []}
        names = {name: getattr(self, name) for name in ("run", "account", "analysts", "symbol", "members")}
        return {**names, **decision, "meeting": self.meeting, **rows, **later}


def explain_decision(folder: Path, day: date, symbol: str | None = None, account: str | None = None) -> Explanation:
    """Return the decision of `account` in force on `day`: the first of that session, else the last one made before it.

    Raises UsageError for a day before the first decision or after the end, for a symbol that was not traded, and for an
    account the run does not have.
    """
    run = read_run(folder)
    symbol = symbol and find_symbol(run, symbol)
    name = find_account(run, account)
    books = read_books(folder, run, name)
    meetings: dict[str, Occasion | None] = {}
    if name != run["account"]:
        meetings = {row["as_of"]: _occasion(row) for row in read_books(folder, run).decisions}
    shown = name_account(run, name) if name else ""
    members, served = who_by_seat(run), {call["key"]: call.get("served", "") for call in read_calls(folder, run)}
    first, *later = (
        Explanation(
            folder.name, name, shown, run["analysts"], symbol, members, served, *_follow(books, at, symbol, meetings)
        )
        for at in _in_force(books, day, run["to"])
    )
    return Explanation(**{**vars(first), "later": tuple(later)})


def find_account(run: RunRecord, name: str | None) -> str | None:
    """Return the account of that name or seat, in any case; the run's own for None. Raises UsageError."""
    if name is None:
        return run["account"]
    seats = {account["name"]: account["seat"] for account in run["accounts"]}
    for account, seat in seats.items():
        if name.lower() in (account.lower(), seat.lower()):
            return account
    if not seats:
        raise UsageError("this run has one account only", mend="leave --account out")
    near = did_you_mean(name.upper(), seats)
    raise UsageError(f'no account "{name}" in this run{near}', mend=f"it has {', '.join(seats)}")


def find_symbol(run: RunRecord, symbol: str) -> str:
    """Return the traded symbol of that name, in any case. Raises UsageError."""
    name = symbol.upper()
    if name in run["symbols"]:
        return name
    near, mend = did_you_mean(name, run["symbols"]), f"it traded {', '.join(run['symbols'])}"
    raise UsageError(f'"{name}" was not traded in this run{near}', mend=mend)


def _occasion(row: DecisionRow) -> Occasion | None:
    record = council_record(row["record"])
    return record if record and (record["kind"] == "council" or record["kind"] == "checkpoint") else None


def _in_force(books: Books, day: date, last: str) -> list[int]:
    made = [n for n, row in enumerate(books.decisions) if row["session"] <= str(day)]
    if not made or str(day) > last:
        first = books.decisions[0]["session"] if books.decisions else "never"
        raise UsageError(f"no decision of this run was in force on {day}", mend=f"decisions run from {first} to {last}")
    today = [n for n in made if books.decisions[n]["session"] == str(day)]
    return today or made[-1:]


def _follow(
    books: Books, at: int, symbol: str | None, meetings: Mapping[str, Occasion | None]
) -> tuple[DecisionRow, Occasion | None, tuple[OrderRecord, ...], tuple[Fill, ...], tuple[Rejection, ...]]:
    decision, submitted = books.decisions[at], decided_by(books.decisions, books.orders)
    since = instant(datetime.fromisoformat(decision["as_of"]))
    following = books.decisions[at + 1 : at + 2]
    until = instant(datetime.fromisoformat(following[0]["as_of"])) if following else None

    def follows(row: Fill | Rejection) -> bool:
        return submitted.get(row.order_id) == at or (since <= row.at and (until is None or row.at < until))

    about: DecisionRow = {
        **decision,
        "targets": [target for target in decision["targets"] if symbol in (None, target["symbol"])],
        "allowed": {name: weight for name, weight in decision["allowed"].items() if symbol in (None, name)},
    }
    return (
        about,
        meetings.get(decision["as_of"]),
        _about([order for order in books.orders if submitted.get(order.id) == at], symbol),
        _about([fill for fill in books.fills if follows(fill)], symbol),
        _about([row for row in books.rejected if follows(row)], symbol),
    )


def _about(rows: Sequence[R], symbol: str | None) -> tuple[R, ...]:
    return tuple(row for row in rows if symbol in (None, row.symbol))


class Opinion(TypedDict, total=False):
    """An instrument and how strongly it was wanted: by conviction, with its mean review score, or by weight."""

    instrument: str
    conviction: int | None
    score: float | None
    action: str
    weight: float


class TracedDecision(TypedDict):
    """A decision with its opinions, the number of orders it submitted, and the keys of the answers behind it."""

    as_of: str
    session: str
    kind: str
    opinions: list[Opinion]
    orders: int
    keys: list[str]


@dataclass(frozen=True)
class TracedFill:
    """A fill and the decision behind it."""

    fill: Fill
    decision: DecisionRow | None


@dataclass(frozen=True)
class Trace:
    """An account's numbers and everything behind them, under the `name` of who answers in its seat.

    `own`: it is the run's own; `calls`: questions to its seat.
    """

    run: str
    account: str | None
    own: bool
    strategy: str
    sessions: int
    analysts: str | None
    name: str
    seat: str | None
    model: str | None
    metrics: Metrics
    reasons: Reasons
    sharpe_ci_low: float | None
    sharpe_ci_high: float | None
    calibration: Calibration | None
    reviews: ReviewSkill | None
    llm: CallCosts | None
    trades: tuple[TracedFill, ...]
    decisions: tuple[TracedDecision, ...]
    calls: tuple[CallRow, ...]

    def to_json(self) -> dict[str, object]:
        """Return one object; trades as in fills.csv, with ``decided_at`` and ``decided_on``."""
        trades = []
        for one in self.trades:
            made = (one.decision["as_of"], one.decision["session"]) if one.decision else (None, None)
            trades.append({**as_row(one.fill), "decided_at": made[0], "decided_on": made[1]})
        return {**vars(self), "trades": trades}


def trace_account(folder: Path, account: str | None = None, symbol: str | None = None) -> Trace:
    """Return an account's numbers with the trades, decisions and answers behind them; with `symbol` those on it.

    Raises UsageError for an account or symbol the run does not have, DataError for a damaged folder.
    """
    run = read_run(folder)
    symbol = symbol and find_symbol(run, symbol)
    name = find_account(run, account)
    books = read_books(folder, run, name)
    council = books if name == run["account"] else read_books(folder, run)
    entry: AccountRecord | None = next((one for one in run["accounts"] if one["name"] == name), None)
    ends = entry or run["inference"]
    behind = decided_by(books.decisions, books.orders)
    return Trace(
        run=folder.name,
        account=name,
        own=name == run["account"],
        strategy=run["strategy"],
        sessions=run["sessions"],
        analysts=run["analysts"],
        name=name_account(run, name) if name else run["strategy"],
        seat=entry["seat"] if entry else None,
        model=entry["model"] if entry else None,
        metrics=entry["metrics"] if entry else run["metrics"],
        reasons=entry["reasons"] if entry else run["reasons"],
        sharpe_ci_low=ends.get("sharpe_ci_low"),
        sharpe_ci_high=ends.get("sharpe_ci_high"),
        calibration=entry["calibration"] if entry else None,
        reviews=entry["reviews"] if entry else None,
        llm=entry["llm"] if entry else None,
        trades=tuple(
            TracedFill(fill, books.decisions[behind[fill.order_id]] if fill.order_id in behind else None)
            for fill in books.fills
            if symbol in (None, fill.symbol)
        ),
        decisions=_trace_decisions(books, behind, council, symbol),
        calls=tuple(call for call in read_calls(folder, run) if entry is None or call["seat"] == entry["seat"]),
    )


def _trace_decisions(
    books: Books, behind: Mapping[int, int], council: Books, symbol: str | None
) -> tuple[TracedDecision, ...]:
    ordered = Counter(behind[order.id] for order in _about(books.orders, symbol) if order.id in behind)
    meetings = ((row["as_of"], meeting_record(row["record"])) for row in council.decisions)
    scores = {as_of: meeting["scores"] for as_of, meeting in meetings if meeting}
    traced = []
    for at, row in enumerate(books.decisions):
        record = council_record(row["record"])
        opinions = _opinions(row, record, scores.get(row["as_of"], {}))
        about = [one for one in opinions if symbol in (None, one["instrument"])]
        if symbol and not about and not ordered[at]:
            continue
        traced.append(
            TracedDecision(
                as_of=row["as_of"],
                session=row["session"],
                kind=record["kind"] if record else "desk" if row["record"].get("kind") == "desk" else "rule",
                opinions=about,
                orders=ordered[at],
                keys=list_keys(row["record"]),
            )
        )
    return tuple(traced)


def _opinions(row: DecisionRow, record: CouncilRecord | None, scores: Mapping[str, float]) -> list[Opinion]:
    """Return a pitch, theses read again, or the targets of an account that has neither."""
    if record and record["kind"] == "member":
        pitch = record["pitch"]
        answer = pitch.get("answer") if pitch else None
        if pitch and answer:
            score = scores.get(pitch["seat"])
            return [{"instrument": answer["instrument"], "conviction": answer["conviction"], "score": score}]
    theses = []
    if record and record["kind"] == "checkpoint":
        theses = record["theses"]
    elif record and record["kind"] == "member_checkpoint":
        theses = [record["thesis"]] if record["thesis"] else []
    if theses:
        return [{"instrument": t["instrument"], "conviction": t["conviction"], "action": t["action"]} for t in theses]
    return [
        {"instrument": target["symbol"], "conviction": target.get("conviction"), "weight": target["weight"]}
        for target in row["targets"]
    ]


def list_keys(kept: DecisionRecord) -> list[str]:
    """Return the keys of all answers behind a record, in the order in which they were given."""
    rows: list[Mapping[str, object] | None]
    record = council_record(kept)
    if record is None:
        rows = [*kept.get("agents", ())] if kept.get("kind") == "desk" else []
    elif record["kind"] == "council":
        rows = [*record["research"], *record["pitches"], *record["reviews"], record["chairman"]]
    elif record["kind"] == "checkpoint":
        rows = [*record["theses"]]
    else:
        rows = [record["pitch"] if record["kind"] == "member" else record["thesis"]]
    keys = (row.get("keys") for row in rows if row)
    return list(dict.fromkeys(key for part in keys if isinstance(part, Sequence) for key in part))
