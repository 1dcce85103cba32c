#!/usr/bin/env bash
# Everything that only a GPU can show, in one command: tools/gpu_test.sh [GPU number] [jobs]
# Builds preset cuda, runs the tests on the GPU, again under compute-sanitizer on small shapes,
# times products, attention (and PyTorch's, if python3 has it) and copies, and whole prefills and
# tokens over shared memory, of the ring's plans too. Logs lie in build/gpu.
set -euo pipefail
cd "$(dirname "$0")/.."
gpu=${1:-0}
jobs=${2:-$(nproc)}
out=build/gpu
mkdir -p "$out"
export AIRLOCK_CACHE=${AIRLOCK_CACHE:-$PWD/models/cache} OMP_WAIT_POLICY=passive
failed=0
say() { printf '\n== %s\n' "$*"; }
# step NAME COMMAND...: the log in $out/NAME.log, its end on failure.
step() {
  local name=$1
  shift
  if "$@" >"$out/$name.log" 2>&1; then
    echo "$name: OK"
  else
    failed=1
    tail -n 20 "$out/$name.log"
    echo "$name: FAILED, see $out/$name.log"
  fi
}

# Numbers are those of nvidia-smi, in the tests too.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
say "machine"
nvidia-smi --id="$gpu" --query-gpu=name,driver_version,memory.total,pcie.link.gen.current \
  --format=csv,noheader | tee "$out/machine.txt"

say "build"
tools/build.sh cuda "$jobs"
tools/build.sh cuda "$jobs" bench
airlock=build/cuda/src/cli/airlock
tests=build/cuda/tests/worker
export CUDA_VISIBLE_DEVICES=$gpu

say "tests"
step host "$tests/worker_test" --gtest_brief=1 --gtest_filter='Cuda*'
step backend "$tests/worker_test" --gtest_brief=1 --gtest_filter='*cuda*:BackendCuda*'
# RingLinear and PadProduct, each bit against 64-bit arithmetic; the step before has them too.
step ring "$tests/worker_test" --gtest_brief=1 --gtest_filter='*BackendRingTest*cuda*'
if grep -q SKIPPED "$out/backend.log" "$out/ring.log"; then
  echo "backend: tests were skipped: no GPU was used"
  failed=1
fi

say "compute-sanitizer"
if command -v compute-sanitizer >/dev/null; then
  # Tests of thousands of tokens would take hours under it.
  small='*cuda*:BackendCuda*:-*EveryNumberOfTokens*:*ACallPastItsMemory*:*InAnyChunks*:*ManyRingRows*'
  for tool in memcheck racecheck synccheck; do
    step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests/worker_test" \
      --gtest_brief=1 --gtest_filter="$small"
  done
else
  echo "compute-sanitizer is not in PATH: SKIPPED"
fi

say "wanted: products at least 80 % of cuBLASLt's best, copies at least 85 % of one pinned copy"
step kernels build/cuda/bench/cuda_bench
cat "$out/kernels.log"

say "wanted: attention within 10 % of PyTorch's"
if python3 -c 'import torch' 2>/dev/null; then
  step torch python3 tools/torch_sdpa.py
  cat "$out/torch.log"
else
  echo "python3 has no torch: SKIPPED"
fi

say "1024 tokens of LLaMA 3.2-1B over shared memory; wanted: combined < 150 ms, blocks < 40 ms"
step prefill "$airlock" bench -m llama-3.2-1b --tokens 1024 -r 5 --link shm --device cuda:0 \
  --plan baseline,combined,runner-attention,blocks --ledger-dir "$out/ledgers"
cat "$out/prefill.log"

say "the same with products in int8"
step int8 "$airlock" bench -m llama-3.2-1b --tokens 1024 -r 5 --link shm --device cuda:0 \
  --compute-dtype int8 --plan combined,blocks
cat "$out/int8.log"

say "masked and checked: exact products (worker_ms of sealed beside runner-attention's)"
step sealed "$airlock" bench -m llama-3.2-1b --tokens 1024 -n 16 -r 3 --link shm --device cuda:0 \
  --plan sealed,private,verified,runner-attention --ledger-dir "$out/ring-ledgers"
cat "$out/sealed.log"
step sealed-ahead "$airlock" bench -m llama-3.2-1b --tokens 1024 -r 3 --link shm --device cuda:0 \
  --plan sealed --pads-ahead
cat "$out/sealed-ahead.log"

say "how the time of two prefills falls into kernels and copies"
if command -v nsys >/dev/null; then
  step split nsys profile --trace=cuda --stats=true --force-overwrite=true -o "$out/prefill" \
    "$airlock" bench -m llama-3.2-1b --tokens 1024 -r 1 --link shm --device cuda:0 \
    --plan combined,blocks
  grep -A 12 -E 'cuda_gpu_(kern|mem_time)_sum' "$out/split.log" || true
else
  echo "nsys is not in PATH: SKIPPED"
fi

say "tokens one by one, whose kernels are replayed as CUDA graphs"
step decode "$airlock" bench -m llama-3.2-1b --tokens 128 -n 64 -r 3 --link shm --device cuda:0 \
  --plan combined,blocks
cat "$out/decode.log"

say "text on the demo model: GPU and processor say the same; verified's products are the same bits"
# text_of PLAN DEVICE
text_of() {
  "$airlock" run -q -m models/demo -p "She was not at all" -n 40 --temp 0 --plan "$1" \
    --compute-dtype f32 --device "$2" >"$out/text-$1-${2%%:*}.txt"
}
for plan in blocks verified; do
  step "text-$plan-cpu" text_of "$plan" cpu
  step "text-$plan-cuda" text_of "$plan" cuda:0
  step "text-$plan" cmp "$out/text-$plan-cpu.txt" "$out/text-$plan-cuda.txt"
done
# Every reply is checked: a wrong product would end it.
step text-sealed-cuda text_of sealed cuda:0

[ "$failed" = 0 ] && say "gpu: OK" || say "gpu: FAILED"
exit "$failed"
