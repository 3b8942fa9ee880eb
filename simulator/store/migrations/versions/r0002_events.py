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
    for table, (keys, others) in TABLES.items():
        _create(table, keys.split(), others.split())
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
        for name, when in {
            "events_refuse_update": "BEFORE UPDATE ON events",
            "events_refuse_delete": "BEFORE DELETE ON events",
            "events_refuse_replace": "BEFORE INSERT ON events WHEN EXISTS "
            "(SELECT 1 FROM events WHERE position = NEW.position)",
        }.items():
            op.execute(f"CREATE TRIGGER {name} {when} BEGIN {refuse}; END")
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS\n"
        "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$"
    )
    for name, when in {
        "events_refuse_change": "BEFORE UPDATE OR DELETE ON events FOR EACH ROW",
        "events_refuse_truncate": "BEFORE TRUNCATE ON events FOR EACH STATEMENT",
    }.items():
        op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION events_refuse()")


# {table: (its primary key, its other columns)}; a column is a text unless `KINDS` says otherwise, and "!" forbids NULL.
TABLES: dict[str, tuple[str, str]] = {
    "events": ("position", "run_id! digest! kind! at account recorded_at! payload!"),
    "runs": (
        "run_id digest",
        "strategy! symbols! first! last! parameters! metrics! folder! partial! times! first_run_at! last_run_at! "
        "event!",
    ),
    "pipeline_runs": (
        "run_id replicate as_of",
        "event! session no_decision user_query seats scores net_votes labels execution_results metadata",
    ),
    "research_packs": (
        "run_id replicate as_of seat",
        "event! model macro_regime top_narratives consensus_map tradable_candidates event_calendar error keys",
    ),
    "pm_pitches": (
        "run_id replicate as_of seat",
        "event! model instrument direction horizon conviction stop target score thesis_bullets indicators "
        "invalidation error keys",
    ),
    "peer_reviews": (
        "run_id replicate as_of seat about",
        "event! model clarity edge_plausibility timing_catalyst risk_definition indicator_integrity originality "
        "tradeability mean_score kill_shot flip_condition error keys",
    ),
    "chairman_decisions": (
        "run_id replicate as_of",
        "event! seat model approved_trades rejected_trades dissent_summary monitoring_plan error keys",
    ),
    "checkpoints": (
        "run_id replicate as_of number",
        "event! session meeting seat author model instrument direction conviction_before conviction action state "
        "entry exit stop target invalidation answer error reason keys",
    ),
    "trades": (
        "run_id account number",
        "event! order_id symbol at session quantity price slippage commission why decided_at",
    ),
    "positions": (
        "run_id account number",
        "event! symbol opened_at closed_at quantity largest entry_price profit slippage commission fills",
    ),
    "approvals": ("run_id id", "event! account state asked_at settled_at asked settled"),
    "llm_calls": (
        "run_id number",
        "event! key session stage seat replicate provider model outcome prompt_tokens completion_tokens cost_usd",
    ),
}

KINDS: dict[Any, str] = {
    sa.Boolean: "partial",
    sa.Integer: "position replicate number event times conviction conviction_before fills prompt_tokens "
    "completion_tokens clarity edge_plausibility timing_catalyst risk_definition indicator_integrity originality "
    "tradeability",
    sa.Float: "stop target score mean_score quantity price slippage commission largest entry_price profit cost_usd",
    sa.JSON: "payload symbols parameters metrics seats scores net_votes labels execution_results metadata keys "
    "top_narratives consensus_map tradable_candidates event_calendar thesis_bullets indicators approved_trades "
    "rejected_trades entry exit answer asked settled",
}


def _create(table: str, keys: list[str], others: list[str]) -> None:
    kinds = {name: kind for kind, names in KINDS.items() for name in names.split()}
    columns = [sa.Column(name, kinds.get(name, sa.String), autoincrement=False, nullable=False) for name in keys]
    for other in others:
        name = other.removesuffix("!")
        columns.append(sa.Column(name, kinds.get(name, sa.String), nullable=name == other))
    op.create_table(table, *columns, sa.PrimaryKeyConstraint(*keys))
