"""The notebooks of docs/ run from top to bottom in a real kernel, in a fresh workspace, and show what they speak of."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

BOOKS = Path(__file__).parents[2] / "docs" / "notebooks"

pytestmark = [pytest.mark.medium, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", sorted(path.name for path in BOOKS.glob("*.ipynb")))
def test_a_notebook_runs_and_shows_cards_tables_and_pictures(
    name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    book = nbformat.read(BOOKS / name, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "outputs are not kept: they go stale"
    NotebookClient(book, timeout=240, resources={"metadata": {"path": str(workspace)}}).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert {"text/html", "image/png", "text/plain"} <= kinds
    assert any("<svg" in str(output["data"].get("text/html")) for output in shown if "data" in output)
    assert not any("\x1b" in str(output) for output in shown)
