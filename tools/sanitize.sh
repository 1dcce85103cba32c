#!/usr/bin/env bash
# Builds and runs tests under sanitizers: tools/sanitize.sh [asan|tsan] [jobs]
#   asan   address and undefined behaviour: everything that reads what a peer or a file sends
#   tsan   data races: client, server, links and the pipeline between threads
# `make test PRESET=asan` runs all tests so, which takes far longer.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-asan}
jobs=${2:-$(nproc)}
# program and, after a space, the suites of it
asan=(core/core_test chat/chat_test link/link_test wire/wire_test remote/remote_test
      "worker/worker_test *Conversation*:*Server*:*Session*:*Segment*:*Hostile*"
      "shield/shield_test *-*TestsOfRandomness*" "engine/engine_test *Lanes*:*Hostile*")
tsan=("core/core_test Pipeline*:Stop*:BufferPool*" "chat/chat_test *Threads*" link/link_test
      "remote/remote_test *Client*:*Lanes*:*Hostile*:*Shared*:*Arena*"
      "worker/worker_test *Conversation*:*Server*:SessionTable*:TurnQueue*:*Segment*:*Hostile*"
      "shield/shield_test *RingOperators*.Lanes*:*Hint*"
      "engine/engine_test *Lanes*:*Hostile*")
case $preset in
  asan) tests=("${asan[@]}") ;;
  tsan)
    tests=("${tsan[@]}")
    # GCC's OpenMP runtime is not built for ThreadSanitizer, which takes its barriers for races.
    export OMP_NUM_THREADS=1
    ;;
  *) echo "sanitize: unknown preset $preset, expected asan or tsan" >&2; exit 2 ;;
esac

programs=("${tests[@]%% *}")
echo "sanitize: building ${#programs[@]} test programs in build/$preset"
cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" -j "$jobs" --target "${programs[@]##*/}"
for test in "${tests[@]}"; do
  program=${test%% *}
  filter=${test#"$program"}
  filter=${filter# }
  echo "sanitize: $preset: $test"
  # One thread a team under tsan, which takes OpenMP's own synchronisation for races.
  OMP_NUM_THREADS=$([ "$preset" = tsan ] && echo 1 || nproc) OMP_WAIT_POLICY=passive "build/$preset/tests/$program" --gtest_brief=1 --gtest_filter="${filter:-*}"
done
echo "sanitize: OK, $preset"
