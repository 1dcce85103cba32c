#!/usr/bin/env python3
"""Writes a copy of a checkpoint whose matrices are what int8 leaves of them; pure Python.

    tools/int8_checkpoint.py models/demo build/demo_int8

Every matrix that a worker multiplies by becomes scale * q in f32, one scale an output channel, by
the rule of src/airlock/kernels/int8_weight.h, so that the copy run in f32 shows what the rounding
of the weights costs alone, and a ring plan on the copy, against the copy itself, what its
activations cost alone. The embedding, norms and biases stay as they are: the ring's runner looks
rows up in full. Where the LM head is the embedding, the copy has an lm_head.weight of its own and
tie_word_embeddings false. The copy is quantized once more as a check: the same q must come out.
Its scales may differ by one unit in the last place, because 127 * scale is rounded.
"""

import argparse
import array
import json
import math
import pathlib
import shutil
import struct
import sys

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2}


def is_matrix(name):
    """One that the ring multiplies by, rather than looks up in or scales with."""
    return name.endswith("_proj.weight") or name == HEAD


def read_tensors(folder):
    """(name, dtype, shape, bytes) of each tensor of a folder's safetensors."""
    files = sorted(pathlib.Path(folder).glob("*.safetensors"))
    if not files:
        sys.exit(f"{folder}: no *.safetensors")
    for path in files:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                begin, end = entry["data_offsets"]
                if entry["dtype"] not in ITEM_BYTES:
                    sys.exit(f"{path}: {name} is {entry['dtype']}, expected F32, BF16 or F16")
                file.seek(8 + length + begin)
                yield name, entry["dtype"], entry["shape"], file.read(end - begin)


def to_floats(dtype, data):
    """array('f') of little-endian elements."""
    if dtype == "F16":
        return array.array("f", struct.unpack(f"<{len(data) // 2}e", data))
    if dtype == "BF16":
        data = array.array("I", [bits << 16 for bits in array.array("H", data)]).tobytes()
    return array.array("f", data)


def quantize_row(row):
    """(q, scale) of one output channel. A quotient of two f32 rounded to f64 and then to f32 is
    the f32 quotient (53 >= 2 * 24 + 2); round() takes ties to even."""
    largest = max(map(abs, row))
    if not all(map(math.isfinite, row)):
        sys.exit("a weight is not finite")
    (scale,) = array.array("f", [largest / 127])
    if scale == 0:
        return [0] * len(row), scale
    quotients = array.array("f", [w / scale for w in row])
    return [max(-127, min(127, round(value))) for value in quotients], scale


def rows_of(values, columns):
    return (values[i:i + columns] for i in range(0, len(values), columns))


class Rounded:
    """What became of the matrices."""

    def __init__(self):
        self.matrices = self.channels = self.moved_scales = 0

    def dequantize(self, name, values, columns):
        """scale * q of every channel, checked to quantize to the same q."""
        out = array.array("f")
        for row in rows_of(values, columns):
            q, scale = quantize_row(row)
            kept = array.array("f", [scale * integer for integer in q])
            again, scale_again = quantize_row(kept)
            if again != q:
                sys.exit(f"{name}: quantizing again gives other integers")
            self.channels += 1
            self.moved_scales += scale_again != scale
            out += kept
        self.matrices += 1
        return out


def write_safetensors(path, tensors):
    """`tensors`: list of (name, dtype, shape, bytes)."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in tensors:
            file.write(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, help="folder of the copy; is made")
    args = parser.parse_args()
    if sys.byteorder != "little":
        sys.exit("safetensors are little-endian, and so must the processor be")

    rounded, tensors, embedding = Rounded(), [], None
    for name, dtype, shape, data in read_tensors(args.checkpoint):
        if is_matrix(name):
            values = rounded.dequantize(name, to_floats(dtype, data), shape[1])
            dtype, data = "F32", values.tobytes()
        if name == EMBEDDING:
            embedding = (dtype, shape, data)
        tensors.append((name, dtype, shape, data))
    config = json.loads((args.checkpoint / "config.json").read_text())
    if all(name != HEAD for name, *_ in tensors):
        dtype, shape, data = embedding
        values = rounded.dequantize(HEAD, to_floats(dtype, data), shape[1])
        tensors.append((HEAD, "F32", shape, values.tobytes()))
        config["tie_word_embeddings"] = False
    # One dtype throughout: what was bf16 or f16 is the same number in f32.
    tensors = [(name, "F32", shape, to_floats(dtype, data).tobytes())
               for name, dtype, shape, data in tensors]
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"

    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.checkpoint.iterdir():
        if path.is_file() and not path.name.endswith((".safetensors", ".index.json", ".md")):
            shutil.copyfile(path, args.out / path.name)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_safetensors(args.out / "model.safetensors", tensors)
    print(f"{rounded.matrices} matrices, {rounded.channels} output channels: quantized again, all "
          f"integers are the same; {rounded.moved_scales} scales moved by an ulp")


if __name__ == "__main__":
    main()
