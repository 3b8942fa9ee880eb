#!/usr/bin/env bash
# Make main_v2.tar.xz anew: tests/data/make_main_v2.sh CHECKOUT OUT.tar.xz
# CHECKOUT is a checkout of commit fe8aa69, the last one that wrote run folders of schema 2.
set -euo pipefail
export PYTHONPATH=$1 NO_COLOR=1
out=$(realpath "$2") folder=$(mktemp -d)
cd "$folder"
sim() { python -m simulator "$@"; }

sim init workspace >/dev/null 2>&1
cd workspace
rm -rf .git
python - <<'P'
import json
URL = "http://127.0.0.1:8765/v1"
NAMES = ("trend", "reversion", "risk", "carry", "breakout")
MODELS = {"research.1": "macro", "research.2": "narrative", **{f"pm.{name}": name for name in NAMES}, "chairman": "chairman"}
ASKED = {"provider": "openai_compatible", "endpoint": URL, "max_tokens": 700, "timeout_s": 5}
content = {
    "profiles": {
        "offline": {seat: {"provider": "offline", "model": model} for seat, model in MODELS.items()},
        "dry": {seat: {**ASKED, "model": model} for seat, model in MODELS.items()},
    },
    "prices": {URL: {"input": 3.0, "output": 15.0}},
    "limits": {URL: {"concurrency": 16}},
    "max_usd_per_day": 1000,
}
open("config/models.yaml", "w").write(json.dumps(content, indent=1))
P

python -m simulator.llm.rehearsal --port 8765 --latency 0 --price 3 15 --rules simulator.council.analysts:RULES \
  --faults 0.08 --fault wrong-schema,refusal --seed 3 >/dev/null &
service=$!
trap 'kill $service' EXIT
sleep 3

sim run --strategy sma_cross --symbols SPY,QQQ --from 2023-07-03 --to 2024-06-28 --set fast=20
sim run --models dry --from 2024-01-02 --to 2024-02-02                   # five meetings, checkpoints between them
sim run --models dry --from 2024-01-02 --to 2024-01-19 --replicates 2
sim run --models dry --from 2024-03-04 --to 2024-03-15 || test $? = 4    # a meeting without a decision
sim run --models dry --from 2024-05-01 --to 2024-05-17 --max-cost 0.5 || test $? = 4 # the money runs out: partial

tar cJf "$out" --exclude=report.html --exclude=./data --exclude=./logs --exclude=./llm_cache/cassettes .
