#!/usr/bin/env bash
# Builds llama.cpp's llama-bench and RPC server for this processor, to measure Airlock against.
#
#   tools/llama_cpp/build.sh [DIR] [SDIST]
#
# DIR    where sources and build go (default: build/llama_cpp in this repository)
# SDIST  llama_cpp_python-0.3.36.tar.gz; without it pip downloads it. That package carries
#        llama.cpp's sources: release 0.3.36 is ggml-org/llama.cpp@0c1e57098 (its CHANGELOG.md).
# JOBS   (environment) compile jobs, default 2.
set -euo pipefail

readonly version=0.3.36
readonly commit=0c1e57098
readonly sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../build/llama_cpp}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
sdist=${2:-$dir/llama_cpp_python-$version.tar.gz}

if [[ ! -f $sdist ]]; then
  if [[ $# -ge 2 ]]; then
    echo "build.sh: no such file: $sdist" >&2
    exit 1
  fi
  python3 -m pip download --no-binary :all: --no-deps -d "$dir" "llama-cpp-python==$version"
fi
echo "$sha256  $sdist" | sha256sum --check --quiet

source_dir=$dir/llama_cpp_python-$version/vendor/llama.cpp
if [[ ! -f $source_dir/CMakeLists.txt ]]; then
  tar -xzf "$sdist" -C "$dir"
fi

# The commit is given because the sources lie inside another git repository when DIR does.
nice -n 10 cmake -S "$source_dir" -B "$dir/out" -G Ninja \
  -DCMAKE_BUILD_TYPE=Release \
  -DLLAMA_BUILD_COMMIT=$commit -DLLAMA_BUILD_NUMBER=0 \
  -DGGML_NATIVE=ON -DGGML_RPC=ON -DGGML_CUDA=OFF \
  -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DBUILD_SHARED_LIBS=OFF
nice -n 10 cmake --build "$dir/out" --target llama-bench ggml-rpc-server -j "${JOBS:-2}"

echo "built $dir/out/bin/llama-bench and ggml-rpc-server (llama.cpp $commit)" >&2
