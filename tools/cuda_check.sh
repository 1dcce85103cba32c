#!/usr/bin/env bash
# Builds and links the CUDA worker and its tests, and says in one line whether they build; no GPU is
# needed.
# tools/cuda_check.sh [architectures, e.g. 90] [jobs]; all architectures without an argument. With a
# cold ccache its own objects take 70 s of a processor's time for one architecture; it shares the
# others with the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
architectures=${1:-}
jobs=${2:-$(nproc)}
build=build/cuda${architectures:+-check}
if ! command -v "${CUDACXX:-nvcc}" >/dev/null; then
  echo "cuda: SKIPPED, there is no nvcc in PATH"
  exit 0
fi

mkdir -p "$build"
log=$build/check.log
options=(-B "$build")
[ -n "$architectures" ] && options+=("-DCMAKE_CUDA_ARCHITECTURES=$architectures")
start=$SECONDS
if ! { cmake --preset cuda "${options[@]}" &&
  nice cmake --build "$build" -j "$jobs" --target airlock_cli worker_test cuda_bench; } \
  >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "cuda: FAILED, see $log" >&2
  exit 1
fi
# Starting the program shows that it is linked; without a GPU it has to say what is missing.
verdict=$("$build/src/cli/airlock" worker -m models/demo --listen unix:///nowhere/a.sock \
  --device cuda:9999 2>&1 || true)
case $verdict in
  *"--device cuda:9999: "*) ;;
  *) echo "cuda: FAILED, the worker said: $verdict" >&2; exit 1 ;;
esac
case $verdict in
  *"this build has no CUDA"*) echo "cuda: FAILED, the build has no CUDA" >&2; exit 1 ;;
esac
echo "cuda: OK, compiled and linked in $((SECONDS - start)) s (architectures: ${architectures:-all})"
