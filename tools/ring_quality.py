#!/usr/bin/env python3
"""Measures what the ring costs in quality: the weights' share, the activations' share, and both.

    tools/ring_quality.py models/demo tests/data/heldout/persuasion.txt --work build/ring_quality

Runs `airlock perplexity` (build/release's; --program names another) and prints a markdown table:
- int8 weights alone: `sealed --pads local` against the model in f32. Local pads need no noise, and
  rows that fill 31 bits round by less than the table shows: the row "no noise" says by how much;
- activations alone: each plan on a copy whose matrices are already int8 (tools/int8_checkpoint.py),
  against that copy in f32. Quantizing it again changes nothing;
- both: each plan on the model, against the model in f32.
It also prints the copy's own perplexity in f32, a second way to the first row. Standard library
only. Noise is drawn afresh, so last digits differ from run to run.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRESETS = "private,verified,sealed"
LARGER = "1024x2"


def measure(args, model, *flags):
    """`airlock perplexity`'s rows, the first of them the model in this process in f32."""
    command = [args.program, "perplexity", "-m", model, "--text", args.text, "--compute-dtype",
               "f32", "--format", "json", "--window", str(args.window), "--stride",
               str(args.stride), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}")
    return json.loads(done.stdout)


def line(what, plan, row):
    print(f"| {what} | {plan} | {row['perplexity']:.4f} | "
          f"{row['perplexity_change_percent']:+.4f} | "
          f"{row['top1_agreement_percent']:.2f} | {row['mean_kl']:.2e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="checkpoint folder")
    parser.add_argument("text", type=pathlib.Path, help="text that the model has not seen")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/ring_quality",
                        help="folder for the int8 copy")
    parser.add_argument("--program", type=pathlib.Path,
                        default=ROOT / "build/release/src/cli/airlock")
    parser.add_argument("--window", type=int, default=0, help="as of airlock perplexity")
    parser.add_argument("--stride", type=int, default=0, help="as of airlock perplexity")
    args = parser.parse_args()

    subprocess.run([ROOT / "tools/int8_checkpoint.py", args.model, args.work], check=True,
                   stdout=sys.stderr)
    weights = measure(args, args.model, "--plan", "sealed", "--pads", "local")
    copied = measure(args, args.work, "--plan", "sealed", "--pads", "local")
    parts = [("activations", args.work), ("both", args.model)]
    exact, copy = weights[0], copied[0]

    print("| rounded | plan | perplexity | change % | same top-1 % | mean KL, nats |\n"
          "| --- | --- | ---: | ---: | ---: | ---: |")
    line("nothing", "f32 in one process", exact)
    line("weights", "`sealed+local`", weights[1])
    line("activations, no noise", "`sealed+local`", copied[1])
    for what, model in parts:
        for row in measure(args, model, "--plan", PRESETS)[1:]:
            line(what, f"`{row['plan']}`", row)
    for what, model in parts:
        row = measure(args, model, "--plan", "sealed", "--lattice", LARGER)[1]
        line(what, f"`sealed`, `--lattice {LARGER}`", row)
    change = (copy["perplexity"] / exact["perplexity"] - 1) * 100
    print(f"\n{exact['tokens']} tokens, {exact['windows']} windows of {exact['window']}, stride "
          f"{exact['stride']}. The int8 copy in f32: {copy['perplexity']:.4f}, {change:+.4f} %.")


if __name__ == "__main__":
    main()
