#!/usr/bin/env bash
# Formats every source file as .clang-format says, or with --check only tells which differ.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.h' '*.cc' '*.cu')
if [ "${1:-}" = "--check" ]; then
  clang-format --dry-run --Werror "${files[@]}" || {
    echo "format: FAILED; run make format" >&2
    exit 1
  }
  echo "format: OK, ${#files[@]} files"
else
  clang-format -i "${files[@]}"
  echo "format: ${#files[@]} files"
fi
