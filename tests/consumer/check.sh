#!/usr/bin/env bash
# Installs a build into an empty prefix, then configures, builds and runs tests/consumer against it:
# tests/consumer/check.sh BUILD_DIR CXX_COMPILER
set -euo pipefail
build=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log" || {
  cat "$scratch/install.log" >&2
  exit 1
}
echo "$(find "$scratch/prefix/include" -name '*.h' | wc -l) headers installed"
cmake -S "$here" -B "$scratch/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$scratch/configure.log" 2>&1 || {
  cat "$scratch/configure.log" >&2
  exit 1
}
cmake --build "$scratch/build"
"$scratch/build/consumer" "$here/../data/checkpoints/llama2"
"$scratch/prefix/bin/airlock" --version
