"""Events, and everything that is computed from them. Rows of the old registry become the first events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLD = (
    *("run_id", "strategy", "symbols", "first", "last", "digest", "folder", "metrics"),
    *("first_run_at", "last_run_at", "times"),
)


def upgrade() -> None:
    counted = _old_registry()
    op.drop_table("runs")
    for create in TABLES:
        create()
    op.create_index("events_of_result", "events", ["run_id", "digest", "position"])
    _guard()
    _enter(counted)


def _old_registry() -> list[dict[str, Any]]:
    kinds: dict[str, Any] = {"symbols": sa.JSON(), "metrics": sa.JSON(), "times": sa.Integer()}
    kinds |= {name: sa.DateTime(timezone=True) for name in ("first_run_at", "last_run_at")}
    held = sa.table("runs", *(sa.column(name, kinds.get(name, sa.String())) for name in OLD))
    found = op.get_bind().execute(sa.select(held).order_by(held.c.first_run_at, held.c.run_id))
    return [dict(row._mapping) for row in found]


def _enter(counted: list[dict[str, Any]]) -> None:
    texts = ("run_id", "digest", "kind", "recorded_at")
    events = sa.table(
        "events",
        sa.column("position", sa.Integer()),
        *(sa.column(name, sa.String()) for name in texts),
        sa.column("payload", sa.JSON()),
    )
    kinds: dict[str, Any] = {name: sa.JSON() for name in ("symbols", "parameters", "metrics")}
    kinds |= {"partial": sa.Boolean(), "times": sa.Integer(), "event": sa.Integer()}
    runs = sa.table("runs", *(sa.column(name, kinds.get(name, sa.String())) for name in dict.fromkeys((*OLD, *kinds))))
    for position, old in enumerate(counted, 1):
        first, last = _utc(old["first_run_at"]), _utc(old["last_run_at"])
        facts = {name: old[name] for name in ("run_id", "strategy", "symbols", "digest", "folder", "metrics")}
        facts |= {"parameters": {}, "partial": old["folder"].endswith("-partial")}
        carried = {**facts, "from": old["first"], "to": old["last"], "times": old["times"], "first_run_at": first}
        event = {"position": position, "run_id": old["run_id"], "digest": old["digest"], "kind": "run.recorded"}
        op.get_bind().execute(events.insert(), {**event, "recorded_at": last, "payload": carried})
        row = {**facts, "first": old["first"], "last": old["last"], "times": old["times"], "event": position}
        op.get_bind().execute(runs.insert(), {**row, "first_run_at": first, "last_run_at": last})


def _utc(instant: datetime) -> str:
    known = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return known.astimezone(UTC).isoformat(timespec="microseconds")


def _guard() -> None:
    refuse = "SELECT RAISE(ABORT, 'events are append-only')"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events BEGIN {refuse}; END")
        op.execute(f"CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events BEGIN {refuse}; END")
        op.execute(
            "CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events WHEN EXISTS "
            f"(SELECT 1 FROM events WHERE position = NEW.position) BEGIN {refuse}; END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS\n"
        "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION events_refuse()"
    )
    op.execute(
        "CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()"
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("at", sa.String),
        sa.Column("account", sa.String),
        sa.Column("recorded_at", sa.String, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("digest", sa.String, autoincrement=False, nullable=False),
        sa.Column("strategy", sa.String, nullable=False),
        sa.Column("symbols", sa.JSON, nullable=False),
        sa.Column("first", sa.String, nullable=False),
        sa.Column("last", sa.String, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("partial", sa.Boolean, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("first_run_at", sa.String, nullable=False),
        sa.Column("last_run_at", sa.String, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "digest"),
    )


def _pipeline_runs() -> None:
    op.create_table(
        "pipeline_runs",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("session", sa.String),
        sa.Column("no_decision", sa.String),
        sa.Column("user_query", sa.String),
        sa.Column("seats", sa.JSON),
        sa.Column("scores", sa.JSON),
        sa.Column("net_votes", sa.JSON),
        sa.Column("labels", sa.JSON),
        sa.Column("execution_results", sa.JSON),
        sa.Column("metadata", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of"),
    )


def _research_packs() -> None:
    op.create_table(
        "research_packs",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("seat", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("macro_regime", sa.String),
        sa.Column("top_narratives", sa.JSON),
        sa.Column("consensus_map", sa.JSON),
        sa.Column("tradable_candidates", sa.JSON),
        sa.Column("event_calendar", sa.JSON),
        sa.Column("error", sa.String),
        sa.Column("keys", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of", "seat"),
    )


def _pm_pitches() -> None:
    op.create_table(
        "pm_pitches",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("seat", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("instrument", sa.String),
        sa.Column("direction", sa.String),
        sa.Column("horizon", sa.String),
        sa.Column("conviction", sa.Integer),
        sa.Column("stop", sa.Float),
        sa.Column("target", sa.Float),
        sa.Column("score", sa.Float),
        sa.Column("thesis_bullets", sa.JSON),
        sa.Column("indicators", sa.JSON),
        sa.Column("invalidation", sa.String),
        sa.Column("error", sa.String),
        sa.Column("keys", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of", "seat"),
    )


def _peer_reviews() -> None:
    op.create_table(
        "peer_reviews",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("seat", sa.String, autoincrement=False, nullable=False),
        sa.Column("about", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("clarity", sa.Integer),
        sa.Column("edge_plausibility", sa.Integer),
        sa.Column("timing_catalyst", sa.Integer),
        sa.Column("risk_definition", sa.Integer),
        sa.Column("indicator_integrity", sa.Integer),
        sa.Column("originality", sa.Integer),
        sa.Column("tradeability", sa.Integer),
        sa.Column("mean_score", sa.Float),
        sa.Column("kill_shot", sa.String),
        sa.Column("flip_condition", sa.String),
        sa.Column("error", sa.String),
        sa.Column("keys", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of", "seat", "about"),
    )


def _chairman_decisions() -> None:
    op.create_table(
        "chairman_decisions",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("seat", sa.String),
        sa.Column("model", sa.String),
        sa.Column("approved_trades", sa.JSON),
        sa.Column("rejected_trades", sa.JSON),
        sa.Column("dissent_summary", sa.String),
        sa.Column("monitoring_plan", sa.String),
        sa.Column("error", sa.String),
        sa.Column("keys", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of"),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("replicate", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("as_of", sa.String, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("session", sa.String),
        sa.Column("meeting", sa.String),
        sa.Column("seat", sa.String),
        sa.Column("author", sa.String),
        sa.Column("model", sa.String),
        sa.Column("instrument", sa.String),
        sa.Column("direction", sa.String),
        sa.Column("conviction_before", sa.Integer),
        sa.Column("conviction", sa.Integer),
        sa.Column("action", sa.String),
        sa.Column("state", sa.String),
        sa.Column("entry", sa.JSON),
        sa.Column("exit", sa.JSON),
        sa.Column("stop", sa.Float),
        sa.Column("target", sa.Float),
        sa.Column("invalidation", sa.String),
        sa.Column("answer", sa.JSON),
        sa.Column("error", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("keys", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "replicate", "as_of", "number"),
    )


def _trades() -> None:
    op.create_table(
        "trades",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("account", sa.String, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("order_id", sa.String),
        sa.Column("symbol", sa.String),
        sa.Column("at", sa.String),
        sa.Column("session", sa.String),
        sa.Column("quantity", sa.Float),
        sa.Column("price", sa.Float),
        sa.Column("slippage", sa.Float),
        sa.Column("commission", sa.Float),
        sa.Column("why", sa.String),
        sa.Column("decided_at", sa.String),
        sa.PrimaryKeyConstraint("run_id", "account", "number"),
    )


def _positions() -> None:
    op.create_table(
        "positions",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("account", sa.String, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("symbol", sa.String),
        sa.Column("opened_at", sa.String),
        sa.Column("closed_at", sa.String),
        sa.Column("quantity", sa.Float),
        sa.Column("largest", sa.Float),
        sa.Column("entry_price", sa.Float),
        sa.Column("profit", sa.Float),
        sa.Column("slippage", sa.Float),
        sa.Column("commission", sa.Float),
        sa.Column("fills", sa.Integer),
        sa.PrimaryKeyConstraint("run_id", "account", "number"),
    )


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("id", sa.String, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("account", sa.String),
        sa.Column("state", sa.String),
        sa.Column("asked_at", sa.String),
        sa.Column("settled_at", sa.String),
        sa.Column("asked", sa.JSON),
        sa.Column("settled", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "id"),
    )


def _llm_calls() -> None:
    op.create_table(
        "llm_calls",
        sa.Column("run_id", sa.String, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("key", sa.String),
        sa.Column("session", sa.String),
        sa.Column("stage", sa.String),
        sa.Column("seat", sa.String),
        sa.Column("replicate", sa.Integer),
        sa.Column("provider", sa.String),
        sa.Column("model", sa.String),
        sa.Column("outcome", sa.String),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cost_usd", sa.Float),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )


TABLES = (
    _events,
    _runs,
    _pipeline_runs,
    _research_packs,
    _pm_pitches,
    _peer_reviews,
    _chairman_decisions,
    _checkpoints,
    _trades,
    _positions,
    _approvals,
    _llm_calls,
)
