#!/usr/bin/env python3
"""Signal-to-noise ratio that the ring's scale leaves activations, of a checkpoint; pure Python.

    tools/ring_noise.py models/demo

Of the matrices that share a row, the heaviest output channel decides (src/airlock/shield/
row_scales.cc): x_q gets the norm (p/2 - margin) / max|w_m| - 8 sqrt(k) - sqrt(k)/2. The noise of
lattice pads adds e, uniform in -8..7, to every element. x_q and e meet the same weights, so for
activations that lie in no special direction the ratio of their products is the ratio of their root
mean squares, rms(x_q) / 4.61, which "bits" is the binary logarithm of. "bits, private" counts as
well that replies are rounded to 16 bits, an error of deviation 2^15 / sqrt(12) of an output, and
the margin of 2^14 that this needs. The second table is the formula for other widths.
"""

import argparse
import math
import re

import int8_checkpoint

P = 2**31 - 2**24 + 1
NOISE_NORM, NOISE_DEVIATION = 8, math.sqrt((16**2 - 1) / 12)
REPLY_MARGIN, REPLY_DEVIATION = 2**14, 2**15 / math.sqrt(12)
# Which matrices take the same row.
GROUPS = {"q_proj": "q,k,v", "k_proj": "q,k,v", "v_proj": "q,k,v", "o_proj": "o",
          "gate_proj": "gate,up", "up_proj": "gate,up", "down_proj": "down", "lm_head": "LM head"}


def rms_of_row(norm, columns, margin=0):
    """Root mean square of x_q if the heaviest channel has that 2-norm."""
    return (P / 2 - margin) / (norm * math.sqrt(columns)) - NOISE_NORM - 0.5


class Group:
    """Int8 weights of the matrices that share a row."""

    def __init__(self, columns):
        self.columns, self.channels, self.squares, self.most = columns, 0, 0, 0

    def add(self, values):
        for row in int8_checkpoint.rows_of(values, self.columns):
            square = sum(q * q for q in int8_checkpoint.quantize_row(row)[0])
            self.channels += 1
            self.squares += square
            self.most = max(self.most, square)

    def line(self, name):
        rms = math.sqrt(self.squares / self.channels / self.columns)
        norm = math.sqrt(self.most)
        signal = rms_of_row(norm, self.columns)
        private = rms_of_row(norm, self.columns, REPLY_MARGIN)
        # Both noises as seen at a product of a channel of root mean square rms.
        reply = math.hypot(NOISE_DEVIATION, REPLY_DEVIATION / (rms * math.sqrt(self.columns)))
        return (f"| {name} | {self.columns} | {rms:.1f} | {norm / math.sqrt(self.columns):.1f} | "
                f"{signal:.0f} | {math.log2(signal / NOISE_DEVIATION):.1f} | "
                f"{math.log2(private / reply):.1f} |")


def read_groups(checkpoint):
    groups = {}

    def add(place, columns, values):
        groups.setdefault(place, Group(columns)).add(values)

    embedding = None
    for name, dtype, shape, data in int8_checkpoint.read_tensors(checkpoint):
        if name == int8_checkpoint.EMBEDDING:
            embedding = (dtype, shape, data)
        if not int8_checkpoint.is_matrix(name):
            continue
        layer = re.search(r"layers\.(\d+)\.", name)
        place = (int(layer[1]) if layer else math.inf, GROUPS[name.split(".")[-2]])
        add(place, shape[1], int8_checkpoint.to_floats(dtype, data))
    if (math.inf, "LM head") not in groups:
        dtype, shape, data = embedding
        add((math.inf, "LM head"), shape[1], int8_checkpoint.to_floats(dtype, data))
    return groups


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", help="folder; without it the formula alone")
    parser.add_argument("--rms", type=float, nargs="+", default=[36, 45],
                        help="of the heaviest channel's int8 weights, for the formula")
    parser.add_argument("--columns", type=int, nargs="+",
                        default=[256, 512, 704, 2048, 4096, 8192, 14336, 28672])
    args = parser.parse_args()
    if args.checkpoint:
        print("| row of | k | rms w | rms of heaviest | rms x_q | bits | bits, private |\n"
              "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for (layer, name), group in sorted(read_groups(args.checkpoint).items()):
            print(group.line(name if layer == math.inf else f"layer {layer} {name}"))
        print()
    print("| rms of heaviest | " + " | ".join(map(str, args.columns)) + " |\n| ---: |" +
          " ---: |" * len(args.columns))
    for rms in args.rms:
        bits = [math.log2(rms_of_row(rms * math.sqrt(k), k) / NOISE_DEVIATION)
                for k in args.columns]
        print(f"| {rms:g} | " + " | ".join(f"{value:.1f}" for value in bits) + " |")


if __name__ == "__main__":
    main()
