#!/usr/bin/env bash
# Installs the Debian packages Airlock is built and tested with, those that are missing.
# docs/dependencies.md says what each is for.
#   tools/install_deps.sh [--with-tests] [--with-checks]   tests: a browser; checks: Clang and its parts
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config
  libdnnl-dev ocl-icd-opencl-dev libhwy-dev libflatbuffers-dev flatbuffers-compiler libssl-dev
  nlohmann-json3-dev libcli11-dev libfmt-dev libpcre2-dev libsentencepiece-dev
  libzstd-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
for option in "$@"; do
  case $option in
    --with-tests) packages+=(chromium-headless-shell) ;;
    --with-checks) packages+=(clang clang-format libclang-rt-14-dev libomp-14-dev) ;;
    *) echo "deps: unknown option $option" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "deps: all ${#packages[@]} packages are installed"
  exit 0
fi

echo "deps: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "deps: run as root, or install these packages: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "deps: FAILED to install ${missing[*]}" >&2
  exit 1
fi
echo "deps: installed ${#missing[@]} packages"
