"""Alembic's entry: works on the connection it is handed (`simulator.store.revisions`), inside its transaction."""

from alembic import context

from simulator.store.schema import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
