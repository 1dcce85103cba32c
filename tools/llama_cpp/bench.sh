#!/usr/bin/env bash
# Times llama.cpp on the LLaMA 3.2-1B shape: in one process, and over its RPC server on loopback.
#
#   tools/llama_cpp/bench.sh [DIR]
#
# DIR is what build.sh was given (default: build/llama_cpp in this repository); missing GGUF files
# are written there by write_gguf.py. Prints a line a test: median, smallest and largest tokens per
# second over the repetitions. From the environment:
#   DTYPES   GGUF files to time (default "bf16"; also f32, f16, q8_0)
#   MODES    "local rpc" by default
#   THREADS  default 2            TOKENS  prompt, default 1024     DECODE  default 32
#   REPS     default 5            PORT    of the RPC server, default 50952
#   PYTHON   default python3      EXTRA   more llama-bench flags, e.g. "-ub 1024"
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../build/llama_cpp}
bin=$dir/out/bin
threads=${THREADS:-2}
port=${PORT:-50952}
python=${PYTHON:-python3}

if [[ ! -x $bin/llama-bench || ! -x $bin/ggml-rpc-server ]]; then
  echo "bench.sh: no llama-bench in $bin: run tools/llama_cpp/build.sh first" >&2
  exit 1
fi

server=
stop_server() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
}
trap stop_server EXIT

start_server() {
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "bench.sh: port $port is in use: set PORT" >&2
    exit 1
  fi
  "$bin/ggml-rpc-server" -t "$threads" -H 127.0.0.1 -p "$port" >"$dir/rpc-server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "bench.sh: the RPC server does not listen on port $port: see $dir/rpc-server.log" >&2
  exit 1
}

summarize() {  # JSON lines of llama-bench on stdin
  "$python" -c '
import json, statistics, sys
rows = [json.loads(line) for line in sys.stdin if line.startswith("{")]
if not rows:
    sys.exit("bench.sh: llama-bench printed no result")
for row in rows:
    what = "decode" if row["n_gen"] else "prefill"
    rates = row["samples_ts"]
    print(
        "{:5} {:5} {:7} {:4} tokens: {:7.2f} tok/s ({:.2f}..{:.2f} over {})  {} {} {}".format(
            sys.argv[1], sys.argv[2], what, row["n_prompt"] or row["n_gen"],
            statistics.median(rates), min(rates), max(rates), len(rates),
            row["build_commit"], row["backends"], row["cpu_info"]))
' "$@"
}

for dtype in ${DTYPES:-bf16}; do
  model=$dir/llama-3.2-1b-$dtype.gguf
  if [[ ! -f $model ]]; then
    echo "writing $model" >&2
    "$python" "$here/write_gguf.py" "$model" --dtype "$dtype"
  fi
  for mode in ${MODES:-local rpc}; do
    arguments=(-m "$model" -t "$threads" -p "${TOKENS:-1024}" -n "${DECODE:-32}")
    arguments+=(-r "${REPS:-5}" -o jsonl)
    if [[ $mode == rpc ]]; then
      start_server
      arguments+=(--rpc "127.0.0.1:$port" -ngl 99)
    fi
    # shellcheck disable=SC2206  # EXTRA is a list of flags
    arguments+=(${EXTRA:-})
    echo "load $(cut -d ' ' -f 1-3 /proc/loadavg), llama-bench ${arguments[*]}" >&2
    "$bin/llama-bench" "${arguments[@]}" | summarize "$mode" "$dtype"
    stop_server
  done
done
echo "load $(cut -d ' ' -f 1-3 /proc/loadavg)" >&2
