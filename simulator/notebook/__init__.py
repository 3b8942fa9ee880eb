"""Finished runs for Python: tables, charts, and the answers of the commands in a notebook."""
