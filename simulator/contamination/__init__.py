"""Has the model read the future? A backtest inside a model's training period may only measure memory.

always on    split ── cutoffs, disagreement ──► run.json: contamination
on demand    case ──► checks ──► bill ──► checks.json, checks.html        `sim check`

    a check = what it asks (billed before anything is asked) + what it makes of the answers

Councils are masked at the snapshot: they see nothing else, so code, prompts, cache, budget and journal are those of a
run. What is shown to them is made in `disguise`; how each check is read stands in docs/contamination.md.
"""
