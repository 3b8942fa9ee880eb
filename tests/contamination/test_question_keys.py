"""The questions of the contamination checks keep their keys: renamed classes and reworded docstrings leave them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from simulator.contamination.recall import Recollection
from simulator.contamination.reidentify import Reidentification
from simulator.llm.answers import schema_of
from simulator.llm.messages import ChatRequest, Message

KEYS = {
    Recollection: "33991883b89389b44e53a837c9df3cfba6a61dbe56c0f56a4228c589fdb815eb",
    Reidentification: "d1910a633f5ba7408f268afcf64f42816cceaff073b493b9367c7d1b368f63ac",
}


@pytest.mark.parametrize("model", KEYS, ids=lambda model: model.__name__)
def test_a_check_asks_in_the_schema_it_always_had(model: type[BaseModel]) -> None:
    renamed = type("Renamed", (model,), {"__doc__": "Other words.", "__module__": __name__})
    for kind in (model, renamed):
        assert ChatRequest("offline", "m", (Message("user", "?"),), schema=schema_of(kind)).key == KEYS[model]
