#!/usr/bin/env bash
# Measures what docs/benchmarks.md says of links, on this machine, at LLaMA 3.2-1B's shape:
#
#   tools/link_figures.sh [split|shape|memory|raw]...     (all without an argument; an hour on 2 cores)
#
#   split    plans over links against the same plans in one process
#   shape    a link of 162 MB/s and 0.1 ms, prefills whole and in chunks, and the chosen plan
#   memory   what a baseline prefill takes beyond the weights, whole and in chunks
#   raw      request and reply of 8 and 128 MiB against copies, plain sockets and ZeroMQ
#
# REPS (default 5) repetitions of split, SHAPE_REPS (default 1) of shape, over SHAPE_LINK (default
# shm; unix: with copies through a socket). Prints markdown tables.
set -euo pipefail
cd "$(dirname "$0")/.."
airlock=build/release/src/cli/airlock
export AIRLOCK_CACHE=${AIRLOCK_CACHE:-$PWD/models/cache}
bench() { "$airlock" bench -m llama-3.2-1b --format md "$@" 2>/dev/null; }

split() {
  bench --tokens 1024 --plan combined --link shm,unix,tcp -r "${REPS:-5}" --reference
  bench --tokens 1024 --plan baseline --link shm -r "${REPS:-5}" --reference
  # A threshold fixed at 10 MB, below the scores of 128 MiB.
  bench --tokens 1024 --plan baseline --link shm -r 1 --shm-threshold 4KiB,10MB
}

shape() {
  local link=(--link "${SHAPE_LINK:-shm}" --shape "162MB/s,0.1ms" --tokens 1024 -r "${SHAPE_REPS:-1}")
  bench "${link[@]}" --plan baseline,bf16,combined,blocks,auto
  bench "${link[@]}" --plan baseline,bf16 --chunk 128 --lanes 8 --reference
  bench "${link[@]}" --plan combined,blocks --chunk 256 --lanes 4 --reference
  bench "${link[@]}" --plan baseline --compress auto
}

memory() {
  for tokens in 1024 2048; do
    bench --tokens "$tokens" --plan baseline --link shm -r 1
    bench --tokens "$tokens" --plan baseline --link shm -r 1 --chunk 256
  done
}

raw() {
  tools/build.sh release "$(nproc)" link_ratio_bench >/dev/null
  build/release/bench/link_ratio_bench 15 8388608 134217728
}

for part in "${@:-split shape memory raw}"; do
  # shellcheck disable=SC2086  # the default is a list
  for name in $part; do
    printf '\n== %s\n' "$name"
    "$name"
  done
done
