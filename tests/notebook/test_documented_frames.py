"""docs/python.md has the columns and dtypes that the frames have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simulator

PAGE = Path(simulator.__file__).parent.parent / "docs" / "python.md"
SHORT = {"NY": "datetime64[ns, America/New_York]", "D": "datetime64[ns]"}
pytestmark = [pytest.mark.medium, pytest.mark.skipif(not PAGE.exists(), reason="needs a checkout to read")]


def test_columns_and_dtypes_of_the_page_are_those_of_the_frames(council: simulator.Run) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8").partition("\n## Sweeps")[0], re.MULTILINE
    )
    assert {name for name, _ in rows} == {"trades", "fills", "orders", "rejections", "decisions", "drawdowns", "llm"}
    for name, text in rows:
        parts = [part.split(":") for part in re.sub(r"\([^)]*\)", "", text).split(";")]
        told = {
            column.strip(): SHORT.get(kind.strip(), kind.strip())
            for names, kind in parts
            for column in names.split(",")
        }
        assert told == getattr(council, name).dtypes.astype(str).to_dict(), name
