"""Short rows: payloads are packed from here on, texts stay in them, and lists read columns instead of JSON."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FIGURES = ("total_return", "volatility", "max_drawdown", "sharpe", "exposure")

# {table: columns that go}; they can be read in the events, whose older payloads stand as they are.
GONE: dict[str, tuple[str, ...]] = {
    "pipeline_runs": ("labels", "metadata"),
    "research_packs": ("top_narratives", "keys"),
    "pm_pitches": ("thesis_bullets", "keys"),
    "peer_reviews": ("kill_shot", "flip_condition", "keys"),
    "chairman_decisions": ("keys",),
    "checkpoints": ("invalidation", "answer", "reason", "keys"),
    "trades": (),
    "positions": (),
    "llm_calls": (),
}
SHORT = ("peer_reviews", "checkpoints", "trades", "positions", "llm_calls")
"""Tables that are their own index on SQLite from here on."""


def upgrade() -> None:
    op.add_column("events", sa.Column("packed", sa.LargeBinary))
    op.drop_index("events_of_result", "events")
    op.create_index("events_of_result", "events", ["run_id", "position"])
    _widen_runs()
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, gone in GONE.items():
        short = {"recreate": "always", "table_kwargs": {"sqlite_with_rowid": False}}
        how = short if sqlite and table in SHORT else {}
        with op.batch_alter_table(table, **how) as batch:  # type: ignore[arg-type]
            for column in gone:
                batch.drop_column(column)
    calls = sa.table("llm_calls", sa.column("key", sa.String))
    op.execute(calls.update().values(key=sa.func.substr(calls.c.key, 1, 16)))


def _widen_runs() -> None:
    for name in FIGURES:
        op.add_column("runs", sa.Column(name, sa.Float))
    for name in ("definition", "run_json"):
        op.add_column("runs", sa.Column(name, sa.String))
    op.add_column("runs", sa.Column("bar_months", sa.JSON))
    keys = [sa.column(name, sa.String) for name in ("run_id", "digest")]
    figures = [sa.column(name, sa.Float) for name in FIGURES]
    runs = sa.table("runs", *keys, sa.column("event", sa.Integer), sa.column("metrics", sa.JSON), *figures)
    events = sa.table("events", sa.column("position", sa.Integer), sa.column("payload", sa.JSON))
    runs.append_column(sa.column("run_json", sa.String))
    for row in (
        op.get_bind().execute(sa.select(runs, events.c.payload).join(events, events.c.position == runs.c.event)).all()
    ):
        metrics = row.metrics if isinstance(row.metrics, dict) else {}
        values = {name: metrics.get(name) for name in FIGURES} | {"run_json": row.payload.get("run_json")}
        is_row = (runs.c.run_id == row.run_id) & (runs.c.digest == row.digest)
        op.get_bind().execute(runs.update().where(is_row).values(values))
