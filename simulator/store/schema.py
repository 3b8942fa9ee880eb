"""The tables. `events` is the truth; the others are computed from it and can be dropped and computed again.

Keys are made of the facts of a row (run, instant, seat), never handed out by the database, so SQLite and PostgreSQL
hold equal rows. Instants are ISO text: those of the market as they were written, those of the clock in UTC. `event` is
the position of the event a row was last computed from.

Rows hold what is asked across runs: numbers, labels, names. Texts that models wrote stay in the events, which keep long
payloads packed, and in the run folders.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
)
from sqlalchemy.types import TypeEngine

from simulator.store.listing import FIGURES

schema = MetaData()
versions = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def _key(*names: str) -> list[Column[Any]]:
    kinds: dict[str, type[TypeEngine[Any]]] = {"replicate": Integer, "number": Integer}
    return [Column(name, kinds.get(name, String), primary_key=True, autoincrement=False) for name in names]


def _all(kind: type[TypeEngine[Any]], *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _json(*names: str) -> list[Column[Any]]:
    return [Column(name, JSON(none_as_null=True)) for name in names]


def _not_null(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name in names]


events = Table(
    "events",
    schema,
    Column("position", Integer, primary_key=True, autoincrement=False),
    *_not_null(String, "run_id", "digest", "kind"),
    *_all(String, "at", "account"),
    *_not_null(String, "recorded_at"),
    *_not_null(JSON(none_as_null=True), "payload"),
    Column("packed", LargeBinary),
    Index("events_of_result", "run_id", "position"),
)

runs = Table(
    "runs",
    schema,
    *_key("run_id", "digest"),
    *_not_null(String, "strategy"),
    *_not_null(JSON(none_as_null=True), "symbols"),
    *_not_null(String, "first", "last"),
    *_not_null(JSON(none_as_null=True), "parameters", "metrics"),
    *_not_null(String, "folder"),
    *_not_null(Boolean, "partial"),
    *_not_null(Integer, "times"),
    *_not_null(String, "first_run_at", "last_run_at"),
    *_not_null(Integer, "event"),
    *_all(Float, *FIGURES),
    *_all(String, "definition", "run_json"),
    *_json("bar_months", "sweep"),
)


def _short_rows(name: str, *columns: Column[Any]) -> Table:
    # A table that is its own index on SQLite: keys are half of a short row. Long ones would waste its pages.
    return Table(name, schema, *columns, sqlite_with_rowid=False)


pipeline_runs = Table(
    "pipeline_runs",
    schema,
    *_key("run_id", "replicate", "as_of"),
    *_not_null(Integer, "event"),
    *_all(String, "session", "no_decision", "user_query"),
    *_json("seats", "scores", "net_votes", "execution_results"),
)

research_packs = Table(
    "research_packs",
    schema,
    *_key("run_id", "replicate", "as_of", "seat"),
    *_not_null(Integer, "event"),
    *_all(String, "model", "macro_regime"),
    *_json("consensus_map", "tradable_candidates", "event_calendar"),
    *_all(String, "error"),
)

pm_pitches = Table(
    "pm_pitches",
    schema,
    *_key("run_id", "replicate", "as_of", "seat"),
    *_not_null(Integer, "event"),
    *_all(String, "model", "instrument", "direction", "horizon"),
    *_all(Integer, "conviction"),
    *_all(Float, "stop", "target", "score"),
    *_json("indicators"),
    *_all(String, "invalidation", "error"),
)

DIMENSIONS = (
    "clarity",
    "edge_plausibility",
    "timing_catalyst",
    "risk_definition",
    "indicator_integrity",
    "originality",
    "tradeability",
)

peer_reviews = _short_rows(
    "peer_reviews",
    *_key("run_id", "replicate", "as_of", "seat", "about"),
    *_not_null(Integer, "event"),
    *_all(String, "model"),
    *_all(Integer, *DIMENSIONS),
    *_all(Float, "mean_score"),
    *_all(String, "error"),
)

chairman_decisions = Table(
    "chairman_decisions",
    schema,
    *_key("run_id", "replicate", "as_of"),
    *_not_null(Integer, "event"),
    *_all(String, "seat", "model"),
    *_json("approved_trades", "rejected_trades"),
    *_all(String, "dissent_summary", "monitoring_plan", "error"),
)

checkpoints = _short_rows(
    "checkpoints",
    *_key("run_id", "replicate", "as_of", "number"),
    *_not_null(Integer, "event"),
    *_all(String, "session", "meeting", "seat", "author", "model", "instrument", "direction"),
    *_all(Integer, "conviction_before", "conviction"),
    *_all(String, "action", "state"),
    *_json("entry", "exit"),
    *_all(Float, "stop", "target"),
    *_all(String, "error"),
)

trades = _short_rows(
    "trades",
    *_key("run_id", "account", "number"),
    *_not_null(Integer, "event"),
    *_all(String, "order_id", "symbol", "at", "session"),
    *_all(Float, "quantity", "price", "slippage", "commission"),
    *_all(String, "why", "decided_at", "fill_id"),
)

positions = _short_rows(
    "positions",
    *_key("run_id", "account", "number"),
    *_not_null(Integer, "event"),
    *_all(String, "symbol", "opened_at", "closed_at"),
    *_all(Float, "quantity", "largest", "entry_price", "profit", "slippage", "commission"),
    *_all(Integer, "fills"),
)

orders = _short_rows(
    "orders",
    *_key("run_id", "account", "order_id"),
    *_not_null(Integer, "event"),
    *_all(String, "symbol", "state", "first_at", "last_at", "why"),
    *_all(Float, "filled"),
)

approvals = Table(
    "approvals",
    schema,
    *_key("run_id", "id"),
    *_not_null(Integer, "event"),
    *_all(Integer, "version"),
    *_all(String, "symbol", "state", "decided_at", "deadline", "asked_at", "settled_at", "by", "reason"),
    *_all(Float, "price_then"),
    *_json("sizes", "changes"),
)

llm_calls = _short_rows(
    "llm_calls",
    *_key("run_id", "number"),
    *_not_null(Integer, "event"),
    *_all(String, "key", "session", "stage", "seat"),
    *_all(Integer, "replicate"),
    *_all(String, "provider", "model", "outcome"),
    *_all(Integer, "prompt_tokens", "completion_tokens"),
    *_all(Float, "cost_usd"),
)

PROJECTIONS: tuple[Table, ...] = tuple(table for table in schema.tables.values() if table not in (events, runs))
"""Computed from the events of the newest result of each run; `runs` is computed from every `run.recorded`."""

REFUSED = "events are append-only"

# An INSERT OR REPLACE fires no DELETE trigger, so it is refused before it begins.
SQLITE_GUARDS = {
    "events_refuse_update": f"BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END",
    "events_refuse_delete": f"BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END",
    "events_refuse_replace": "BEFORE INSERT ON events WHEN EXISTS "
    f"(SELECT 1 FROM events WHERE position = NEW.position) BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END",
}

POSTGRES_FUNCTION = f"""\
CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$"""

POSTGRES_GUARDS = {
    "events_refuse_change": "BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_refuse()",
    "events_refuse_truncate": "BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
}


def _guard(table: Table) -> None:
    def after_create(statement: str, dialect: str) -> None:
        ddl: Any = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", ddl.execute_if(dialect=dialect))

    for name, body in SQLITE_GUARDS.items():
        after_create(f"CREATE TRIGGER {name} {body}", "sqlite")
    after_create(POSTGRES_FUNCTION, "postgresql")
    for name, body in POSTGRES_GUARDS.items():
        after_create(f"CREATE TRIGGER {name} {body}", "postgresql")


_guard(events)
