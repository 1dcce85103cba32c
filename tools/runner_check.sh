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
tools/trusted_base.sh "$build/src/cli/airlock"
echo "runner: OK"
