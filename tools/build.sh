#!/usr/bin/env bash
# Configures and builds one CMake preset: tools/build.sh [release|asan|tsan] [jobs] [target]...
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
jobs=${2:-$(nproc)}

echo "build: configuring preset $preset in build/$preset"
cmake --preset "$preset" >"/dev/null"
echo "build: compiling with $jobs jobs (the first time takes some minutes)"
start=$SECONDS
targets=("${@:3}")
cmake --build "build/$preset" -j "$jobs" --target "${targets[@]:-all}"
echo "build: OK, preset $preset in $((SECONDS - start)) s: build/$preset/src/cli/airlock"
