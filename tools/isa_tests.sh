#!/usr/bin/env bash
# Runs the numeric suites of one built preset once for each instruction set that this processor has,
# and says which it lacks: tools/isa_tests.sh [release|asan|tsan]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
tests=build/$preset/tests
# program and, after a space, the suites of it
suites=(math/math_test kernels/kernels_test "worker/worker_test *Backend*:*RingProducts*"
        "shield/shield_test *-*TestsOfRandomness*" engine/engine_test
        "cli/cli_test CliPerplexity*:CliSealed*:Readme*")

for program in core/print_isa "${suites[@]%% *}"; do
  if [ ! -x "$tests/$program" ]; then
    echo "isa_tests: $tests/$program is missing: build preset $preset first" >&2
    exit 2
  fi
done

export OMP_WAIT_POLICY=passive
ran=() lacks=() failed=()
for isa in avx2 avx512 avx512_bf16 amx; do
  export AIRLOCK_MAX_ISA=$isa
  if [ "$("$tests/core/print_isa")" != "$isa" ]; then
    echo "$isa: SKIPPED, this processor has no $isa"
    lacks+=("$isa")
    continue
  fi
  ran+=("$isa")
  for suite in "${suites[@]}"; do
    start=$SECONDS
    program=${suite%% *}
    filter=${suite#"$program"}
    filter=${filter# }
    if "$tests/$program" --gtest_brief=1 --gtest_filter="${filter:-*}" >"$tests/isa_tests.log" 2>&1; then
      echo "$isa: ${suite#*/} passed in $((SECONDS - start)) s"
    else
      echo "$isa: ${suite#*/} FAILED:"
      cat "$tests/isa_tests.log"
      failed+=("$isa/${suite#*/}")
    fi
  done
done

missing=${lacks[*]:+, without ${lacks[*]}}
if [ ${#ran[@]} -eq 0 ]; then
  echo "isa_tests: FAILED, preset $preset: this processor has none of ${lacks[*]}" >&2
  exit 1
elif [ ${#failed[@]} -gt 0 ]; then
  echo "isa_tests: FAILED, preset $preset: ${failed[*]}" >&2
  exit 1
fi
echo "isa_tests: OK, preset $preset: ${ran[*]}$missing"
