#!/usr/bin/env python3
"""Makes the small random Llama checkpoints of tests/data/checkpoints and their golden logits.

The judge is Hugging Face transformers in float32 with eager attention: each checkpoint is written
to disk, read back by LlamaForCausalLM.from_pretrained, run over prompts of 1, 7, 33 and 128 tokens
and then 32 greedy decode steps through its KV cache. A second implementation, below and in float64
throughout, computes the same logits: it says how far float32 transformers itself is from exact, and
it would show a mistake in the use of transformers.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
    python3 tools/make_model_goldens.py                 # writes tests/data/checkpoints
    python3 tools/make_model_goldens.py --out DIR llama2
    python3 tools/make_model_goldens.py --search 64     # prints the best of 64 seeds only

Weights and prompts are the same bytes everywhere; logits repeat to the byte on one machine and to
float32 rounding on another, because the kernels of torch differ.
tests/data/checkpoints/README.md describes the result.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

PROMPT_LENGTHS = (1, 7, 33, 128)
ALL_ROWS_UP_TO = 33  # longer prompts keep only the last row of prefill, for size
DECODE_STEPS = 32
# Greedy tokens are compared for equality, so the best two logits must lie far further apart than
# float32 rounding (about 1e-5 here).
SMALLEST_GAP = 1e-2
SMALLEST_VARIETY = 8  # different tokens among the 33: a model that repeats itself proves little

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    # With rope_theta 500000 and these head sizes, wavelengths fall into all three bands: kept
    # (< 64), blended (64..256), divided by the factor (> 256).
    "original_max_position_embeddings": 256,
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: `config` is config.json as published Llama folders spell it."""

    name: str
    seed: int
    config: dict
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "1GB"
    transformers5_layout: bool = False  # config.json as transformers 5 writes it
    # What config.json says beside `config`, which the weights are made by.
    said: dict = dataclasses.field(default_factory=dict)


CHECKPOINTS = (
    # Like the published Llama 2 folders, names neither rope_theta (10000 is the default), nor
    # head_dim, nor the biases.
    Checkpoint(
        name="llama2",
        seed=46,
        config={
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 48,
            "intermediate_size": 96,
            "max_position_embeddings": 512,
            "model_type": "llama",
            "num_attention_heads": 3,
            "num_hidden_layers": 2,
            "num_key_value_heads": 3,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 160,
        },
    ),
    Checkpoint(
        name="llama3-gqa",
        seed=36,
        config={
            "attention_bias": False,
            "bos_token_id": 150,
            "eos_token_id": [151, 158, 159],
            "head_dim": 8,
            "hidden_act": "silu",
            "hidden_size": 64,
            "intermediate_size": 48,
            "max_position_embeddings": 8192,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 8,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_scaling": LLAMA3_ROPE,
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "use_cache": True,
            "vocab_size": 160,
        },
    ),
    Checkpoint(
        name="one-kv-head",
        seed=18,
        config={
            "attention_bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": 20,
            "hidden_act": "silu",
            "hidden_size": 48,
            "intermediate_size": 80,
            "max_position_embeddings": 512,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 160,
        },
    ),
    Checkpoint(
        name="odd-sharded",
        seed=35,
        max_shard_size="90KB",
        config={
            "attention_bias": False,
            "bos_token_id": 1,
            "eos_token_id": 336,
            "hidden_act": "silu",
            "hidden_size": 40,
            "intermediate_size": 101,
            "max_position_embeddings": 512,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 5,
            "num_hidden_layers": 2,
            "num_key_value_heads": 5,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 337,
        },
    ),
    Checkpoint(
        name="bf16",
        seed=62,
        dtype=torch.bfloat16,
        config={
            "attention_bias": False,
            "bos_token_id": 150,
            "eos_token_id": 151,
            "hidden_act": "silu",
            "hidden_size": 64,
            "intermediate_size": 96,
            "max_position_embeddings": 512,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "use_cache": True,
            "vocab_size": 160,
        },
    ),
    Checkpoint(
        name="f16",
        seed=50,
        dtype=torch.float16,
        transformers5_layout=True,
        config={
            "bos_token_id": 150,
            "eos_token_id": [151, 158],
            "head_dim": 16,
            "hidden_act": "silu",
            "hidden_size": 48,
            "intermediate_size": 112,
            "max_position_embeddings": 8192,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_scaling": LLAMA3_ROPE,
            "rope_theta": 500000.0,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 160,
        },
    ),
    # Odd things that folders of the hub say: the theta inside rope_scaling is the one that counts, a
    # stored LM head that differs from the embedding is used though the two are said to be tied, and
    # there are other names, ids without tokens, and a window as wide as the context.
    Checkpoint(
        name="odd-config",
        seed=3,
        config={
            "bos_token_id": 1,
            "eos_token_id": [2, 300, -1],
            "hidden_act": "swish",
            "hidden_size": 32,
            "intermediate_size": 72,
            "max_position_embeddings": 512,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {**LLAMA3_ROPE, "rope_theta": 500000.0},
            "rope_theta": 10000.0,
            "sliding_window": 512,
            "tie_word_embeddings": False,
            "use_cache": True,
            "vocab_size": 160,
        },
        said={"tie_word_embeddings": True},
    ),
)


def eos_ids(config: dict) -> list[int]:
    eos = config["eos_token_id"]
    return eos if isinstance(eos, list) else [eos]


def make_model(checkpoint: Checkpoint, seed: int) -> LlamaForCausalLM:
    """A model with random weights, rounded to the checkpoint's dtype."""
    # from_dict moves rope_theta and rope_scaling into rope_parameters, in place.
    model = LlamaForCausalLM(LlamaConfig.from_dict(json.loads(json.dumps(checkpoint.config))))
    generator = torch.Generator().manual_seed(seed)

    with torch.no_grad():
        for name, weight in model.named_parameters():  # in file order; a tied lm_head comes once
            if weight.dim() == 1:  # norms: a loader that drops or swaps them must show
                weight.copy_(0.5 + torch.rand(weight.shape, generator=generator))
                continue
            # Unit gain keeps activations of order 1. Queries and keys are larger, so that softmax
            # is far from uniform and a wrong mask or rotation moves the logits; the output matrix
            # is larger, so that logits spread over a few units.
            gain = 1.0
            if "q_proj" in name or "k_proj" in name:
                gain = 1.6
            if "lm_head" in name or "embed_tokens" in name:
                gain = 2.0
            fan_in = weight.shape[1]
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise * (gain / math.sqrt(fan_in)))
    return model.to(checkpoint.dtype).eval()


def make_prompt(vocabulary: int, length: int, seed: int) -> torch.Tensor:
    """Random ids; from 7 tokens on the first and the last row of the vocabulary are among them."""
    generator = torch.Generator().manual_seed(1000 * seed + length)
    ids = torch.randint(vocabulary, (length,), generator=generator, dtype=torch.int64)
    if length >= 7:
        ids[2], ids[4] = 0, vocabulary - 1
    return ids


def write_checkpoint(checkpoint: Checkpoint, seed: int, folder: pathlib.Path) -> None:
    """Writes config.json and the safetensors of `checkpoint` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.safetensors"), *folder.glob("*.json")):
        old.unlink()
    make_model(checkpoint, seed).save_pretrained(folder, max_shard_size=checkpoint.max_shard_size)
    (folder / "generation_config.json").unlink()
    if checkpoint.transformers5_layout:
        return

    config = checkpoint.config | checkpoint.said
    config["architectures"] = ["LlamaForCausalLM"]
    config["torch_dtype"] = str(checkpoint.dtype).removeprefix("torch.")
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


@torch.no_grad()
def run_transformers(model: LlamaForCausalLM, ids: torch.Tensor):
    """Prefill and greedy decode: logits [N, vocab] and [32, vocab] f32, tokens [33] i64."""
    output = model(ids[None], use_cache=True)
    prefill = output.logits[0]
    tokens = [prefill[-1].argmax()]
    decode = []
    for _ in range(DECODE_STEPS):
        cache = output.past_key_values
        output = model(tokens[-1].view(1, 1), past_key_values=cache, use_cache=True)
        decode.append(output.logits[0, -1])
        tokens.append(decode[-1].argmax())
    return prefill, torch.stack(decode), torch.stack(tokens)


def inverse_frequencies(config: dict, head_dim: int) -> torch.Tensor:
    """[head_dim / 2] f64: radians a position, with llama3 scaling if the config asks for it."""
    scaling = config["rope_scaling"]
    theta = (scaling or {}).get("rope_theta", config.get("rope_theta", 10000.0))
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    if scaling is None:
        return frequencies
    context = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = context * frequencies / (2 * math.pi)  # full turns within the original context
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    if not ((blend == 0).any() and (blend == 1).any() and ((blend > 0) & (blend < 1)).any()):
        raise ValueError("rope_scaling: the three frequency bands do not all occur")
    return frequencies * (blend + (1 - blend) / scaling["factor"])


@torch.no_grad()
def run_exact(model: LlamaForCausalLM, config: dict, ids: torch.Tensor) -> torch.Tensor:
    """Logits [tokens, vocab] f64 of `ids` in one causal pass, from the weights of `model` alone."""
    weights = {name: value.double() for name, value in model.state_dict().items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim", config["hidden_size"] // heads)
    count = len(ids)
    positions = torch.arange(count, dtype=torch.float64)
    angles = positions[:, None] * inverse_frequencies(config, head_dim)
    cosine, sine = angles.cos(), angles.sin()  # [tokens, head_dim / 2]
    future = torch.ones(count, count, dtype=torch.bool).triu(1)

    def norm(x, name):
        rms = x.square().mean(-1, keepdim=True) + config["rms_norm_eps"]
        return x / rms.sqrt() * weights[name]

    def split(x, number):  # [tokens, number * head_dim] -> [number, tokens, head_dim]
        return x.view(count, number, head_dim).transpose(0, 1)

    def rotate(x):
        low, high = x.chunk(2, -1)
        return torch.cat((low * cosine - high * sine, high * cosine + low * sine), -1)

    x = weights["model.embed_tokens.weight"][ids]
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}."

        def linear(y, name, layer=layer):
            return y @ weights[layer + name + ".weight"].T

        y = norm(x, layer + "input_layernorm.weight")
        query = rotate(split(linear(y, "self_attn.q_proj"), heads))
        key = rotate(split(linear(y, "self_attn.k_proj"), kv_heads))
        value = split(linear(y, "self_attn.v_proj"), kv_heads)
        key, value = (t.repeat_interleave(heads // kv_heads, 0) for t in (key, value))
        scores = query @ key.transpose(1, 2) / math.sqrt(head_dim)
        attended = scores.masked_fill(future, -math.inf).softmax(-1) @ value
        x = x + linear(attended.transpose(0, 1).reshape(count, -1), "self_attn.o_proj")

        y = norm(x, layer + "post_attention_layernorm.weight")
        gate = torch.nn.functional.silu(linear(y, "mlp.gate_proj"))
        x = x + linear(gate * linear(y, "mlp.up_proj"), "mlp.down_proj")

    output = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return norm(x, "model.norm.weight") @ weights[output].T


def make_goldens(checkpoint: Checkpoint, seed: int, folder: pathlib.Path):
    """The golden tensors of the checkpoint in `folder`, and figures about them."""
    model = LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tensors = {}
    figures = {"gap": math.inf, "error": 0.0, "stops": 0, "distinct": [], "std": []}
    for length in PROMPT_LENGTHS:
        ids = make_prompt(checkpoint.config["vocab_size"], length, seed)
        prefill, decode, tokens = run_transformers(model, ids)
        exact = run_exact(model, checkpoint.config, torch.cat((ids, tokens[:-1])))
        error = (torch.cat((prefill, decode)).double() - exact).abs().max().item()

        tensors[f"ids.{length}"] = ids
        if length <= ALL_ROWS_UP_TO:
            tensors[f"prefill_logits.{length}"] = prefill.contiguous()
        tensors[f"prefill_last_logits.{length}"] = prefill[-1:].clone()
        tensors[f"decode_logits.{length}"] = decode
        tensors[f"tokens.{length}"] = tokens
        tensors[f"hf_error.{length}"] = torch.tensor([error], dtype=torch.float32)

        best = torch.cat((prefill[-1:], decode)).topk(2).values
        figures["gap"] = min(figures["gap"], (best[:, 0] - best[:, 1]).min().item())
        figures["error"] = max(figures["error"], error)
        figures["stops"] += sum(int((tokens == eos).sum()) for eos in eos_ids(checkpoint.config))
        figures["distinct"].append(len(tokens.unique()))
        figures["std"].append(round(prefill.std().item(), 2))
    return tensors, figures


def fits(figures: dict) -> bool:
    gap, variety = figures["gap"], min(figures["distinct"])
    return gap >= SMALLEST_GAP and variety >= SMALLEST_VARIETY and figures["stops"] == 0


def describe(checkpoint: Checkpoint, seed: int, figures: dict) -> str:
    return (
        f"{checkpoint.name}: seed {seed}, smallest gap {figures['gap']:.4f}, "
        f"|transformers f32 - exact| <= {figures['error']:.2e}, end tokens {figures['stops']}, "
        f"distinct tokens of 33 {figures['distinct']}, logit std {figures['std']}"
    )


def search(checkpoint: Checkpoint, count: int) -> None:
    """Prints, of the seeds 0..count-1, the fitting one with the widest smallest gap."""
    best = None
    for seed in range(count):
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(checkpoint, seed, pathlib.Path(folder))
            _, figures = make_goldens(checkpoint, seed, pathlib.Path(folder))
        if fits(figures) and (best is None or figures["gap"] > best[1]["gap"]):
            best = (seed, figures)
    print(describe(checkpoint, *best) if best else f"{checkpoint.name}: no seed fits")


def main() -> int:
    default_out = pathlib.Path(__file__).resolve().parent.parent / "tests/data/checkpoints"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="checkpoints to make (default: all)")
    parser.add_argument("--out", type=pathlib.Path, default=default_out)
    parser.add_argument("--search", type=int, metavar="N", help="look for the best of N seeds")
    arguments = parser.parse_args()
    known = {checkpoint.name: checkpoint for checkpoint in CHECKPOINTS}
    for name in arguments.names:
        if name not in known:
            parser.error(f"no checkpoint {name}: choose from {', '.join(known)}")

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for checkpoint in CHECKPOINTS:
        if arguments.names and checkpoint.name not in arguments.names:
            continue
        if arguments.search:
            search(checkpoint, arguments.search)
            continue
        folder = arguments.out / checkpoint.name
        write_checkpoint(checkpoint, checkpoint.seed, folder)
        tensors, figures = make_goldens(checkpoint, checkpoint.seed, folder)
        print(describe(checkpoint, checkpoint.seed, figures))
        if not fits(figures):
            print(f"{checkpoint.name}: seed {checkpoint.seed} does not fit", file=sys.stderr)
            return 1
        # One key only: safetensors writes several in no fixed order.
        made_by = f"transformers {transformers.__version__}, torch {torch.__version__}"
        source = f"{made_by}, float32, eager attention, seed {checkpoint.seed}"
        save_file(tensors, folder / "goldens.safetensors", metadata={"source": source})
    return 0


if __name__ == "__main__":
    sys.exit(main())
