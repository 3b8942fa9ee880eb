"""Puts the workspace's starter files into the wheel; an editable install reads them where they lie."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STARTER = ("sim.toml", "strategies", "config", "data/sample", "data/events.csv", "llm_cache/cassettes")


class StarterFiles(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"].update({path: f"simulator/_workspace/{path}" for path in STARTER})
