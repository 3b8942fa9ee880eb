"""Run folders of the last main before schema 3 (tests/data/README.md), to be read and to be damaged."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parents[1] / "data" / "main_v2.tar.xz"


@pytest.fixture(scope="session")
def v2_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs; only to be read."""
    folder = tmp_path_factory.mktemp("v2")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, [one for one in archive if "/reports/" in one.name], filter="data")
    return folder / "reports"
