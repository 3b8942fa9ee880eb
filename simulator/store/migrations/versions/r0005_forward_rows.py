"""Forward tests have rows: orders, what was asked of a person by column, and the fill that a trade comes from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String) for name in names]


def upgrade() -> None:
    op.add_column("trades", sa.Column("fill_id", sa.String))
    op.create_table(
        "orders",
        *(sa.Column(name, sa.String, nullable=False) for name in ("run_id", "account", "order_id")),
        sa.Column("event", sa.Integer, nullable=False),
        *_text("symbol", "state", "first_at", "last_at", "why"),
        sa.Column("filled", sa.Float),
        sa.PrimaryKeyConstraint("run_id", "account", "order_id"),
        sqlite_with_rowid=False,
    )
    op.drop_table("approvals")  # it had no rows: only forward tests ask, and these had none
    op.create_table(
        "approvals",
        *(sa.Column(name, sa.String, nullable=False) for name in ("run_id", "id")),
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer),
        *_text("symbol", "state", "decided_at", "deadline", "asked_at", "settled_at", "by", "reason"),
        sa.Column("price_then", sa.Float),
        sa.Column("sizes", sa.JSON),
        sa.Column("changes", sa.JSON),
        sa.PrimaryKeyConstraint("run_id", "id"),
    )
