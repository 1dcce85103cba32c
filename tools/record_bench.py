#!/usr/bin/env python3
"""Runs a benchmark and records what it said, with commit, date and machine, in docs/benchmarks.

    tools/record_bench.py [--note TEXT] [--dirty] NAME -- airlock bench -m llama-3.2-1b ...

`airlock` is build/release's (--program names another). The command gets --format json; its result,
a JSON array of runs, is written to docs/benchmarks/NAME.json, and tools/bench_tables.py makes the
tables of docs/benchmarks.md from such files. The commit is the last that changed src: build the
program from it. With changes in src it refuses, unless --dirty, which the record tells. Python's
standard library only.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "benchmarks"


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(dirty):
    """The last one that changed the program: later ones, of documents say, say nothing of it."""
    changed = git("status", "--porcelain", "--", "src")
    if changed and not dirty:
        sys.exit("record: src has changes: commit them first, or say --dirty")
    last = git("log", "-1", "--format=%h", "--abbrev=12", "--", "src")
    return last + (" with changes" if changed else "")


def instruction_set(flags):
    """The best that core/isa.cc would use: AIRLOCK_MAX_ISA caps it."""
    sets = [
        ("avx2", {"avx2", "fma"}),
        ("avx512", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
        ("avx512_bf16", {"avx512_bf16"}),
        ("amx", {"amx_bf16", "amx_tile"}),
    ]
    best = "base"
    for name, needed in sets:
        if not needed <= flags:
            break
        best = name
        if name == os.environ.get("AIRLOCK_MAX_ISA"):
            break
    return best


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    cpu = re.search(r"^model name\s*: (.*)$", text, re.M)
    flags = re.search(r"^flags\s*: (.*)$", text, re.M)
    total = re.search(r"^MemTotal:\s*(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": cpu.group(1) if cpu else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "isa": instruction_set(set(flags.group(1).split()) if flags else set()),
        "memory_gib": round(int(total.group(1)) / 2**20, 1),
        "load": round(os.getloadavg()[0], 1),  # when the run began: others' work spoils times
    }


def text_of(record, result):
    """JSON with one line a run."""
    head = json.dumps(record, indent=1, ensure_ascii=False)
    rows = ",\n".join("  " + json.dumps(run, ensure_ascii=False) for run in result)
    return f'{head[:-2]},\n "result": [\n{rows}\n ]\n}}\n'


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", default=str(ROOT / "build/release/src/cli/airlock"))
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    parser.add_argument("--dirty", action="store_true")
    parser.add_argument("name", help="of the record: lower case, digits and dashes")
    parser.add_argument("command", nargs="+", help="after --: airlock bench ...")
    options = parser.parse_args()

    if not re.fullmatch(r"[a-z0-9-]+", options.name):
        parser.error(f"{options.name} is no name of a record")
    words = options.command
    if words[:2] != ["airlock", "bench"]:
        parser.error("the command begins with: airlock bench")
    if any(word == "--format" or word.startswith("--format=") for word in words):
        parser.error("leave --format out")
    if any(word.startswith("/") for word in words):
        parser.error("name files by paths from the repository's root")

    record = {
        "commit": commit(options.dirty),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "machine": machine(),
        "command": " ".join(words),
    }
    if options.note:
        record["note"] = options.note
    environment = dict(os.environ)
    environment.setdefault("AIRLOCK_CACHE", str(ROOT / "models/cache"))
    print(f"record: {record['command']}", file=sys.stderr)
    command = [options.program, *words[1:], "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"record: FAILED, the command ended with {done.returncode}")

    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{options.name}.json"
    path.write_text(text_of(record, json.loads(done.stdout)))
    print(f"record: OK, {path.relative_to(ROOT)}; now tools/bench_tables.py", file=sys.stderr)


if __name__ == "__main__":
    main()
