#!/usr/bin/env bash
# Runs the tests of one built preset: tools/test.sh [release|asan|tsan] [jobs]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
jobs=${2:-$(nproc)}

echo "test: running the tests of preset $preset, $jobs at a time"
if ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" --progress; then
  echo "test: OK, preset $preset"
else
  echo "test: FAILED, preset $preset; the failures are above" >&2
  exit 1
fi
