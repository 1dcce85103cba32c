#!/usr/bin/env bash
# What the runner's side trusts: lines of source, room by room, and the shared objects that its
# program loads. tools/trusted_base.sh [program of a build without a worker]; without an argument the
# program of preset runner, or only the lines if it is not built.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/runner/src/cli/airlock}

# Lines that are neither blank nor comment alone, without generated ones.
lines() {
  find "$1" -type f ! -name CMakeLists.txt ! -name cmd_worker.cc ! -name local_worker.cc ! -name unicode_tables.inc -exec cat {} + |
    grep -cvE '^[[:space:]]*(//.*)?$'
}

total=0
printf '| room | lines |\n| --- | --- |\n'
for room in src/airlock/*/ src/cli/; do
  [ "$room" = src/airlock/worker/ ] && continue
  count=$(lines "$room")
  total=$((total + count))
  printf '| `%s` | %d |\n' "${room#src/airlock/}" "$count"
done
printf '| all | %d |\n' "$total"

[ -x "$program" ] || exit 0
objects=$(ldd "$program" | awk '$1 !~ /^linux-vdso/ { sub(".*/", "", $1); print $1 }' | sort)
printf '\n%d shared objects: %s\n' "$(wc -l <<<"$objects")" "$(paste -sd ' ' <<<"$objects")"
