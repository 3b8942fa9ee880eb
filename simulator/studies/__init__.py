"""Studies: one strategy in many settings over one market, and what may be concluded from the best of them.

study.yaml, options ──► Study (study.py): what every member has in common, and a Space (space.py) of what differs
SweepInputs (inputs.py): bars prepared once ──► play_chunk (chunks.py): members first … last, no model, no clock
executors.py ──► reports/sweep-…/chunks (results.py) ──► inference.py over all members ──► study.json
"""
