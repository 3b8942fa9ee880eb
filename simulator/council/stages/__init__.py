"""The stages of a council meeting, in order.

Research ──► Pitch ──► Review ──► Chairman      ──► Execution
2 packs      5 ideas   20 reviews  1 decision       targets, no model asked
└───────── read the market only ─────────┘          reads the book

Checkpoint, between meetings: open theses, market since entry ──► a review each; no book either
"""

from simulator.council.stages.base import Gateway, Setup, Stage
from simulator.council.stages.chairman import ChairmanStage
from simulator.council.stages.checkpoint import CheckpointStage
from simulator.council.stages.execution import ExecutionStage
from simulator.council.stages.pitch import PitchStage
from simulator.council.stages.research import ResearchStage
from simulator.council.stages.review import ReviewStage

__all__ = [
    "ChairmanStage",
    "CheckpointStage",
    "ExecutionStage",
    "Gateway",
    "PitchStage",
    "ResearchStage",
    "ReviewStage",
    "Setup",
    "Stage",
]
