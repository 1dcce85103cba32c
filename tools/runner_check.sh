#!/usr/bin/env bash
# Builds the runner's program without a worker (preset runner), checks that it holds nothing of the
# worker's, and runs its tests: tools/runner_check.sh [jobs]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
build=build/runner

echo "runner: building preset runner"
cmake --preset runner >/dev/null
cmake --build "$build" -j "$jobs"
if nm -C "$build/src/cli/airlock" | grep -E 'airlock::(Backend|Server|Conversation|CpuBackend)\b' >&2; then
  echo "runner: FAILED, the program holds a part of the worker" >&2
  exit 1
fi
ctest --test-dir "$build" --output-on-failure -j "$jobs" -R '^(RunnerOnly|Cli|consumer)'
# With another build's worker it runs the whole way.
worker=build/release/src/cli/airlock
if [ -x "$worker" ]; then
  scratch=$(mktemp -d)
  OMP_WAIT_POLICY=passive "$worker" worker -m models/demo --listen "unix://$scratch/a.sock" 2>"$scratch/log" &
  trap 'kill %1; wait; rm -rf "$scratch"' EXIT
  for _ in $(seq 300); do [ -S "$scratch/a.sock" ] && break; sleep 0.1; done
  "$build/src/cli/airlock" run -m models/demo -p "She was" -n 8 --worker "unix://$scratch/a.sock" \
    2>"$scratch/run.log" >/dev/null || { cat "$scratch/run.log" >&2; exit 1; }
  grep -q "prediction: equal" "$scratch/run.log"
  echo "runner: a run through a worker of build/release: OK"
fi
tools/trusted_base.sh "$build/src/cli/airlock"
echo "runner: OK"
