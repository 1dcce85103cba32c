#!/usr/bin/env bash
# Text from a small trained model through the split, then the main job at full size: a checkpoint of
# LLaMA 3.2-1B's shape. Needs about 10 GB of memory and 6 GB of disk; takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
airlock=build/release/src/cli/airlock
export AIRLOCK_CACHE=$PWD/models/cache
model=$AIRLOCK_CACHE/llama-3.2-1b
out=build/demo
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

say "text from the small trained model in models/demo, sealed: the worker that computes it learns"
echo "   neither prompt nor answer, and every product it returns is checked"
prompt="She was not at all"
printf '%s' "$prompt"
"$airlock" run -m models/demo -p "$prompt" -n 120 --seed 9 --temp 0.6 --top-p 0.9 \
  2>"$out/demo.log" || { cat "$out/demo.log" >&2; exit 1; }
say "what crossed between runner and worker for it: uniform numbers, each masked row by a fresh pad"
sed -n '/^worker: /p;/^plan /,$p' "$out/demo.log"

if [ ! -f "$model/config.json" ]; then
  say "a checkpoint of LLaMA 3.2-1B's shape: random bf16 weights, byte-level tokenizer (once)"
  "$airlock" synth llama-3.2-1b "$model"
fi

say "a prefill of 1024 tokens under five plans, measured against prediction (hints of 2.9 GiB, once)"
"$airlock" bench -m "$model" --tokens 1024 -r 1 --link shm \
  --plan baseline,runner-attention,blocks,private,sealed --ledger-dir "$out/ledgers"
"$airlock" report "$out"/ledgers/baseline-shm.jsonl "$out"/ledgers/runner-attention-shm.jsonl \
  "$out"/ledgers/blocks-shm.jsonl "$out"/ledgers/sealed-shm.jsonl \
  --html "$out/report.html" >/dev/null
printf '\ndemo: OK. The same figures as a page: %s\n' "$out/report.html"
