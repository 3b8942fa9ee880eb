"""Sources of bars. Each module turns one source into :class:`~simulator.market.table.BarTable` values."""
