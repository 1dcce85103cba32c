#!/usr/bin/env bash
# Runs every fuzz target for some seconds from valid inputs: tools/fuzz_smoke.sh [seconds each] [jobs]
# Findings lie in build/fuzz/findings; the exit code is 1 if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
jobs=${2:-$(nproc)}
programs=build/fuzz/fuzz
corpus=build/fuzz/corpus
findings=build/fuzz/findings

echo "fuzz: building"
cmake --preset fuzz >/dev/null
cmake --build build/fuzz -j "$jobs" --target fuzz
"$programs/fuzz_seeds" "$corpus"
mkdir -p "$findings" "$corpus/config" "$corpus/tokenizer" "$corpus/chat"
cp tests/data/chat/*.jinja tests/data/chat/conversations.json "$corpus/chat"
for config in tests/data/checkpoints/*/config.json; do
  cp "$config" "$corpus/config/$(basename "$(dirname "$config")").json"
done
find tests/data -name tokenizer.json -size -64k | while read -r file; do
  cp "$file" "$corpus/tokenizer/$(basename "$(dirname "$file")").json"
done

failed=0
for name in wire codec conversation client safetensors config tokenizer chat uri; do
  echo "fuzz: $name, $seconds s"
  log="$findings/$name.log"
  if ! "$programs/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
      -max_len=65536 -print_final_stats=1 -artifact_prefix="$findings/$name-" "$corpus/$name" \
      >"$log" 2>&1; then
    failed=1
    echo "fuzz: $name FAILED, see $log" >&2
    tail -n 40 "$log" >&2
  fi
  grep number_of_executed_units "$log" || true
done
[ "$failed" = 0 ] && echo "fuzz: OK"
exit "$failed"
