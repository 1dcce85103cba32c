#!/usr/bin/env bash
# Is this commit slower than the last tag? Runs both programs in turn, on this machine, and judges
# the ratios of their times, pair by pair: times drift on a shared machine, such ratios less.
#
#   tools/speed_gate.sh [options]        some minutes with the defaults, once both are built
#
#   --base COMMIT          what to compare with (default: the last tag)
#   --base-program PATH    a built program of it, instead of building one
#   --program PATH         a built program of this commit, instead of building one
#   --model NAME           checkpoint folder or preset, repeatable (default: models/demo and tiny);
#                          llama-3.2-1b is the real thing: 2.5 GB of disk, an hour on 2 cores
#   --plan NAMES           plans, with commas (default: baseline,combined,runner-attention,blocks)
#   --link NAME            (default: shm)
#   --tokens N             of the prefill (default: 256; llama-3.2-1b: 1024)
#   --generate N           tokens of the decode, from a prompt of one (default: 32); 0: no decode
#   --pairs N              pairs of runs, 4 at least (default: 8; llama-3.2-1b: 4)
#   -r N                   repetitions in a run, of which the least counts (default: 10; 1b: 2)
#   --limit PERCENT        slower by more than this fails (default: 3)
#   --jobs N               of the build (default: all processors)
#
# A row is `slower` if three quarters of its pairs exceed the limit, `unclear` if only their median
# does. Either is believed only once twice as many pairs were added: of many rows on a restless
# machine some look slower by chance. The exit code is 1 if any is slower.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { echo "speed: $*" >&2; }
usage() { echo "speed: $*; see the head of tools/speed_gate.sh" >&2; exit 2; }

base='' base_program='' program='' link=shm tokens='' generate=32 pairs='' repetitions='' limit=3
plans=baseline,combined,runner-attention,blocks jobs=$(nproc) models=()
while [ $# -gt 0 ]; do
  case $1 in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
  [ $# -ge 2 ] || usage "$1 is unknown, or needs a value"
  case $1 in
    --base) base=$2 ;;
    --base-program) base_program=$2 ;;
    --program) program=$2 ;;
    --model) models+=("$2") ;;
    --plan) plans=$2 ;;
    --link) link=$2 ;;
    --tokens) tokens=$2 ;;
    --generate) generate=$2 ;;
    --pairs) pairs=$2 ;;
    -r) repetitions=$2 ;;
    --limit) limit=$2 ;;
    --jobs) jobs=$2 ;;
    *) usage "unknown option $1" ;;
  esac
  shift 2
done
[ ${#models[@]} -gt 0 ] || models=(models/demo tiny)
for count in "${tokens:-1}" "${pairs:-1}" "${repetitions:-1}" "$jobs"; do
  [[ $count =~ ^[1-9][0-9]*$ ]] || usage "$count is no count"
done
[ "${pairs:-4}" -ge 4 ] || usage "--pairs $pairs: fewer than 4 say nothing"
[[ $generate =~ ^[0-9]+$ ]] || usage "--generate $generate is no count"
[[ $limit =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "--limit $limit is no percentage"

# Both programs, and what to call them.
if [ -n "$base_program" ]; then
  base_name="${base:-a given program} ($("$base_program" --version))"
else
  if [ -z "$base" ]; then
    # A tag on this very commit is what is being judged.
    at=HEAD
    git describe --tags --exact-match HEAD >/dev/null 2>&1 && at=HEAD^
    base=$(git describe --tags --abbrev=0 "$at" 2>/dev/null) ||
      usage "there is no tag yet: name a commit (--base) or a program (--base-program)"
  fi
  commit=$(git rev-parse --verify --quiet "$base^{commit}") || usage "there is no commit $base"
  base_name="$base ($(git rev-parse --short "$commit"))"
  tree=build/speed_gate/base
  git worktree prune
  if [ -e "$tree/.git" ]; then
    git -C "$tree" checkout --quiet --detach "$commit"
  else
    git worktree add --quiet --detach "$tree" "$commit"
  fi
  say "building $base_name in $tree"
  (cd "$tree" && cmake --preset release >/dev/null &&
    cmake --build build/release -j "$jobs" --target airlock_cli) >&2
  base_program=$tree/build/release/src/cli/airlock
fi
if [ -z "$program" ]; then
  say "building this commit"
  tools/build.sh release "$jobs" airlock_cli >&2
  program=build/release/src/cli/airlock
fi
changes=$(git status --porcelain --untracked-files=no)
name="$(git rev-parse --short HEAD)${changes:+ with changes}"
export AIRLOCK_CACHE=${AIRLOCK_CACHE:-$PWD/models/cache}
results=build/speed_gate/results
mkdir -p "$results"

# least PROGRAM MODEL PLAN ARGUMENT...: ms of the fastest repetition.
least() {
  local out ms
  out=$("$1" bench -m "$2" --plan "$3" --link "$link" --format json "${@:4}" 2>"$results/log") || {
    cat "$results/log" >&2
    say "FAILED: $1 bench -m $2 --plan $3 ${*:4}"
    exit 1
  }
  ms=$(sed -nE 's/.*"wall_ms": \{"min":([0-9.]+).*/\1/p' <<<"$out")
  [ -n "$ms" ] || { say "FAILED: $1 bench gives no wall_ms"; exit 1; }
  echo "$ms"
}

# measure FILE PAIRS MODEL PLAN ARGUMENT...: adds lines "base-ms this-ms" to FILE. Who begins
# changes from pair to pair, so that a drift hits both.
measure() {
  local file=$1 count=$2 i a b
  shift 2
  for ((i = 0; i < count; ++i)); do
    if ((i % 2 == 0)); then
      a=$(least "$base_program" "$@")
      b=$(least "$program" "$@")
    else
      b=$(least "$program" "$@")
      a=$(least "$base_program" "$@")
    fi
    echo "$a $b" >>"$file"
  done
}

# judge FILE: "pairs base-ms this-ms ratio lower-quartile upper-quartile verdict", medians all.
judge() {
  awk -v limit="$limit" '
    function sort(v, n,   i, j, t) {
      for (i = 2; i <= n; ++i)
        for (j = i; j > 1 && v[j - 1] > v[j]; --j) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    }
    function middle(v, n) { return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
    { ++n; base[n] = $1; here[n] = $2; ratio[n] = $2 / $1 }
    END {
      sort(base, n); sort(here, n); sort(ratio, n)
      rank = int((n + 3) / 4)
      low = ratio[rank]; high = ratio[n + 1 - rank]; mid = middle(ratio, n); most = 1 + limit / 100
      verdict = low > most ? "slower" : mid > most ? "unclear" : high < 1 / most ? "faster" : "ok"
      printf "%d %.1f %.1f ", n, middle(base, n), middle(here, n)
      printf "%.3f %.3f %.3f %s\n", mid, low, high, verdict
    }' "$1"
}

say "base $base_name, this $name; $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
printf '| model | what | plan | pairs | base ms | this ms | ratio | quartiles | verdict |\n'
printf '| --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- |\n'
slower=() unclear=() widest=0
for model in "${models[@]}"; do
  case $model in
    *llama-*) n=${tokens:-1024} p=${pairs:-4} r=${repetitions:-2} ;;
    *) n=${tokens:-256} p=${pairs:-8} r=${repetitions:-10} ;;
  esac
  kinds=("prefill $n")
  [ "$generate" = 0 ] || kinds+=("decode $generate")
  for kind in "${kinds[@]}"; do
    case $kind in
      prefill*) arguments=(--tokens "$n" -r "$r") ;;
      decode*) arguments=(--tokens 1 -n "$generate" -r "$r") ;;
    esac
    for plan in ${plans//,/ }; do
      say "$model, $kind, $plan: $p pairs"
      file=$results/$(tr '/ ' '__' <<<"$model-$kind-$plan").txt
      : >"$file"
      measure "$file" "$p" "$model" "$plan" "${arguments[@]}"
      read -r _ _ _ ratio _ _ verdict < <(judge "$file")
      if [[ $verdict == slower || $verdict == unclear ]]; then
        say "$model, $kind, $plan: $ratio, $((2 * p)) pairs more"
        measure "$file" $((2 * p)) "$model" "$plan" "${arguments[@]}"
      fi
      read -r count a b ratio low high verdict < <(judge "$file")
      printf '| %s | %s | %s | %d | %s | %s | %s | %s-%s | %s |\n' \
        "$model" "$kind" "$plan" "$count" "$a" "$b" "$ratio" "$low" "$high" "$verdict"
      widest=$(awk -v a="$low" -v b="$high" -v w="$widest" \
        'BEGIN { s = (b - a) * 100; printf "%.0f", (s > w ? s : w) }')
      case $verdict in
        slower) slower+=("$model $kind $plan ($ratio)") ;;
        unclear) unclear+=("$model $kind $plan ($ratio)") ;;
      esac
    done
  done
done

list() { local IFS=';'; echo "$*" | sed 's/;/, /g'; }
echo "speed: the middle half of a row's pairs spans up to $widest %"
[ ${#unclear[@]} -eq 0 ] ||
  echo "speed: not certain, the machine is too restless: $(list "${unclear[@]}")"
if [ ${#slower[@]} -gt 0 ]; then
  echo "speed: FAILED, slower than $base_name by more than $limit %: $(list "${slower[@]}")"
  exit 1
fi
echo "speed: OK, $name is nowhere shown to be slower than $base_name by more than $limit %"
