#!/usr/bin/env python3
"""Writes a GGUF of the LLaMA 3.2-1B shape with random weights, to time llama.cpp on.

    pip install gguf==0.19.0 numpy
    python3 tools/llama_cpp/write_gguf.py build/llama_cpp/llama-3.2-1b-bf16.gguf --dtype bf16

16 layers, hidden 2048, 32 heads, 8 KV heads, head_dim 64, FFN 8192, vocabulary 128256, tied
embeddings, llama3 rope factors: every size and switch that decides the arithmetic is that of the
published model. The values are noise and the tokenizer is a placeholder: its ids mean nothing.
"""

import argparse
import math
import os

import gguf
import numpy as np

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 16, 2048, 32, 8, 64, 8192, 128256
CONTEXT = 131072
ROPE_THETA = 500000.0
STANDARD_DEVIATION = 0.02  # the published models' initializer_range


def rope_factors() -> np.ndarray:
    """[head_dim / 2] f32: what llama.cpp divides each frequency by, for the llama3 scaling."""
    factor, low, high, context = 32.0, 1.0, 4.0, 8192
    frequencies = ROPE_THETA ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    blend = np.clip((context * frequencies / (2 * math.pi) - low) / (high - low), 0, 1)
    return (1 / (blend + (1 - blend) / factor)).astype(np.float32)


def add_metadata(writer: gguf.GGUFWriter, file_type: gguf.LlamaFileType) -> None:
    writer.add_name("LLaMA 3.2-1B shape, random")
    writer.add_file_type(file_type)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)

    specials = 256
    ordinary = VOCABULARY - specials
    tokens = [chr(0x100 + i) for i in range(256)]  # placeholders for the byte alphabet
    tokens += [f"filler_{i}" for i in range(len(tokens), ordinary)]
    tokens += [f"<|special_{i}|>" for i in range(specials)]
    types = [gguf.TokenType.NORMAL] * ordinary + [gguf.TokenType.CONTROL] * specials
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{tokens[0]} {tokens[1]}"])
    writer.add_bos_token_id(ordinary)
    writer.add_eos_token_id(ordinary + 1)


def matrices() -> list[tuple[str, tuple[int, int]]]:
    """Names and shapes [out, in] of the matrices, in file order."""
    result = [("token_embd.weight", (VOCABULARY, HIDDEN))]
    for layer in range(LAYERS):
        for name, shape in (
            ("attn_q", (HEADS * HEAD_DIM, HIDDEN)),
            ("attn_k", (KV_HEADS * HEAD_DIM, HIDDEN)),
            ("attn_v", (KV_HEADS * HEAD_DIM, HIDDEN)),
            ("attn_output", (HIDDEN, HEADS * HEAD_DIM)),
            ("ffn_gate", (FFN, HIDDEN)),
            ("ffn_up", (FFN, HIDDEN)),
            ("ffn_down", (HIDDEN, FFN)),
        ):
            result.append((f"blk.{layer}.{name}.weight", shape))
    return result


def vectors() -> list[tuple[str, np.ndarray]]:
    result = [("rope_freqs.weight", rope_factors())]
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            result.append((f"blk.{layer}.{name}.weight", np.ones(HIDDEN, np.float32)))
    result.append(("output_norm.weight", np.ones(HIDDEN, np.float32)))
    return result


def to_bf16(values: np.ndarray) -> np.ndarray:
    """f32 to bf16 bits, round to nearest even; finite input."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def to_q8_0(values: np.ndarray) -> np.ndarray:
    """f32 to blocks of 32 along a row, each an f16 scale and 32 int8: largest magnitude 127."""
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
    out = np.empty(len(blocks), np.dtype([("scale", np.float16), ("values", np.int8, 32)]))
    out["scale"] = scales[:, 0]
    out["values"] = np.rint(blocks / scales.astype(np.float32)).clip(-127, 127)
    return out.view(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--dtype", choices=("bf16", "f16", "f32", "q8_0"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    element, file_type, tensor_type = {
        "bf16": (np.uint16, gguf.LlamaFileType.MOSTLY_BF16, gguf.GGMLQuantizationType.BF16),
        "f16": (np.float16, gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
        "f32": (np.float32, gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
        "q8_0": (np.uint8, gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    }[arguments.dtype]

    convert = {"bf16": to_bf16, "q8_0": to_q8_0}.get(arguments.dtype,
                                                     lambda values: values.astype(element))
    q8_0 = arguments.dtype == "q8_0"

    partial = arguments.path + ".partial"
    writer = gguf.GGUFWriter(partial, "llama")
    add_metadata(writer, file_type)
    for name, values in vectors():
        writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
    for name, shape in matrices():
        stored = gguf.quant_shape_to_byte_shape(shape, tensor_type) if q8_0 else shape
        size = math.prod(stored) * np.dtype(element).itemsize
        writer.add_tensor_info(name, stored, np.dtype(element), size, raw_dtype=tensor_type)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, values in vectors():
        writer.write_tensor_data(values)
    random = np.random.default_rng(arguments.seed)
    for _, shape in matrices():
        values = random.standard_normal(shape, np.float32)
        values *= STANDARD_DEVIATION
        writer.write_tensor_data(convert(values))
    writer.close()
    os.replace(partial, arguments.path)  # a broken run leaves no file that looks whole


if __name__ == "__main__":
    main()
