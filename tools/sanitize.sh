#!/usr/bin/env bash
# Builds and runs, under address and undefined-behaviour sanitizers, the tests of everything that
# reads what a peer sends. `make test PRESET=asan` runs all tests so, which takes far longer.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
tests=(core/core_test link/link_test wire/wire_test remote/client_test remote/killed_peer_test
       runner/lanes_test worker/server_test)

echo "sanitize: building ${#tests[@]} test programs in build/asan"
cmake --preset asan >/dev/null
cmake --build build/asan -j "$jobs" --target "${tests[@]##*/}"
for test in "${tests[@]}"; do
  echo "sanitize: $test"
  OMP_WAIT_POLICY=passive "build/asan/tests/$test" --gtest_brief=1
done
echo "sanitize: OK"
