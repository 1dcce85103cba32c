#!/usr/bin/env python3
"""Makes the tables of docs/benchmarks.md from the records in docs/benchmarks.

    tools/bench_tables.py            writes them
    tools/bench_tables.py --check    exits with 1 if they differ from the records

A table stands between `<!-- bench: NAME... -->` and `<!-- /bench -->`: the runs of those records
(tools/record_bench.py), one a row, and a line for each record that says what was run, on what.
Python's standard library only.
"""

import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
MARKED = re.compile(r"(<!-- bench: ([a-z0-9 -]+) -->\n).*?(<!-- /bench -->)", re.S)


def ms(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def mib(value):
    return f"{value / 2**20:.3f}"


# Title, the keys it needs, and the cell's text. A column that is empty or 0 in every row is left
# out.
COLUMNS = [
    ("plan", ["plan"], lambda r: f"`{r['plan']}`"),
    ("link", ["link"], lambda r: r["link"]),
    ("tokens", ["tokens"], lambda r: str(r["tokens"])),
    ("sequences", ["decode_tokens_per_second", "sequences"], lambda r: str(r["sequences"])),
    ("calls", ["calls"], lambda r: str(r["calls"])),
    ("MiB", ["total_bytes"], lambda r: mib(r["total_bytes"])),
    ("wall ms", ["wall_ms"], lambda r: ms(r["wall_ms"]["median"])),
    ("min-max", ["wall_ms"], lambda r: f"{ms(r['wall_ms']['min'])}-{ms(r['wall_ms']['max'])}"),
    ("in-process ms", ["reference_ms"], lambda r: ms(r["reference_ms"])),
    ("slowdown", ["slowdown"], lambda r: f"{r['slowdown']:.3f}"),
    ("runner ms", ["runner_ms"], lambda r: ms(r["runner_ms"])),
    ("pads ms", ["pad_ms"], lambda r: ms(r["pad_ms"])),
    ("checks ms", ["check_ms"], lambda r: ms(r["check_ms"])),
    ("worker ms", ["worker_ms"], lambda r: ms(r["worker_ms"])),
    ("link ms", ["link_ms"], lambda r: ms(r["link_ms"])),
    ("tok/s", ["tokens_per_second"], lambda r: f"{r['tokens_per_second']:.1f}"),
    (
        "decode tok/s",
        ["decode_tokens_per_second"],
        lambda r: f"{r['decode_tokens_per_second']:.1f}",
    ),
]
LEFT = {"plan", "link", "min-max"}


def table(records):
    rows = [row for record in records for row in record["result"]]
    columns = [c for c in COLUMNS if any(all(row.get(key) for key in c[1]) for row in rows)]
    lines = [[title for title, _, _ in columns]]
    lines.append(["---" if title in LEFT else "---:" for title, _, _ in columns])
    for row in rows:
        known = [all(row.get(key) for key in keys) for _, keys, _ in columns]
        lines.append([text(row) if has else "" for has, (_, _, text) in zip(known, columns)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def source(record):
    m = record["machine"]
    note = f" {record['note']}" if record.get("note") else ""
    return (
        f"`{record['command']}`: commit {record['commit']}, {record['date'][:10]}, {m['cpu']}, "
        f"{m['cores']} cores, {m['isa']}, {m['memory_gib']} GiB, load {m['load']} as it began."
        f"{note}"
    )


def made(match):
    records = []
    for name in match[2].split():
        path = ROOT / "docs" / "benchmarks" / f"{name}.json"
        if not path.exists():
            sys.exit(f"bench_tables: FAILED, there is no {path.relative_to(ROOT)}")
        records.append(json.loads(path.read_text()))
    lines = "\n\n".join(source(record) for record in records)
    return f"{match[1]}{table(records)}\n\n{lines}\n{match[3]}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = PAGE.read_text()
    new = MARKED.sub(made, old)
    count = len(MARKED.findall(old))
    if check and new != old:
        sys.exit("bench_tables: FAILED, docs/benchmarks.md differs: run tools/bench_tables.py")
    if not check:
        PAGE.write_text(new)
    print(f"bench_tables: OK, {count} tables", file=sys.stderr)


if __name__ == "__main__":
    main()
