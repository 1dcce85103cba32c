#!/usr/bin/env python3
"""Records what Hugging Face transformers makes of logits: tests/data/sampling/transformers.json.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python3 tools/make_sampling_goldens.py

  warped       logits, tokens seen and options -> probabilities after the processors that `generate`
               itself puts together, in its order
  logprobs     logits -> log-softmax in float64
  generations  checkpoints of tests/data/checkpoints: greedy tokens with a repetition penalty

Cases are drawn at random and kept only if no threshold, and no choice of a greedy token, is so close
that float32 rounding could turn it.
"""

import json
import pathlib
import random

import torch
import transformers
from transformers import GenerationConfig, LlamaForCausalLM

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
VOCAB = 24
SMALLEST_SHARE = 5e-3  # of a kept token: tests see it in some ten thousand draws
MARGIN = 1e-3  # of a threshold, relative
SMALLEST_GAP = 1e-2  # between the best two scores, as in make_model_goldens.py
STEPS = 24

OPTIONS = (
    {},
    {"temperature": 0.6},
    {"min_p": 0.05},
    {"min_p": 0.3, "temperature": 2.0},
    {"min_p": 1.0},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "temperature": 1.5},
    {"repetition_penalty": 1.5, "min_p": 0.1},
    {"top_k": 5, "top_p": 0.8},
    {"top_p": 0.9, "min_p": 0.1},
    {"top_k": 7, "min_p": 0.15, "temperature": 1.7},
    {"repetition_penalty": 1.2, "temperature": 1.4, "top_k": 9, "top_p": 0.85, "min_p": 0.08},
)
# Logits of these are made equal to the k-th: which of them top-k keeps.
TIED_OPTIONS = ({"top_k": 3}, {"top_k": 4, "temperature": 0.7}, {"top_k": 5, "min_p": 0.1})


def processors(model, options, length):
    values = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} | options
    config = GenerationConfig(do_sample=True, **values)
    return model._get_logits_processor(generation_config=config, input_ids_seq_length=length)


def is_decided(scores, options):
    """Whether every threshold lies clear of every token's share, and every kept share is large."""
    if torch.softmax(scores, -1).min() < 1e-6:
        return False
    scaled = scores / options.get("temperature", 1.0)
    shares = torch.softmax(scaled, -1).sort(descending=True).values
    if "top_k" in options:
        shares = shares[: options["top_k"]]
        shares = shares / shares.sum()
    if "top_p" in options:
        sums = shares.cumsum(-1)
        if ((sums / options["top_p"] - 1).abs() < MARGIN).any():
            return False
    if options.get("min_p", 1.0) < 1.0:
        relative = shares / shares[0]
        if ((relative / options["min_p"] - 1).abs() < MARGIN).any():
            return False
    return True


def warped(model, rng):
    cases = []
    for options in OPTIONS:
        while True:
            logits = torch.tensor([rng.gauss(0, 1.5) for _ in range(VOCAB)], dtype=torch.float32)
            seen = [rng.randrange(VOCAB) for _ in range(7)]
            seen.append(seen[0])  # a token that occurred twice is penalized once
            penalized = processors(
                model, {"repetition_penalty": options.get("repetition_penalty", 1.0)}, len(seen)
            )(torch.tensor([seen]), logits[None].clone())[0]
            after = processors(model, options, len(seen))(torch.tensor([seen]), logits[None].clone())[0]
            shares = torch.softmax(after.double(), -1)
            if is_decided(penalized.double(), options) and shares[shares > 0].min() >= SMALLEST_SHARE:
                break
        cases.append({"options": options, "seen": seen, "logits": logits.tolist(), "shares": shares.tolist()})
    return cases


def tied(model, rng):
    """As `warped`, nothing seen; four logits beside the k-th equal it."""
    cases = []
    for options in TIED_OPTIONS:
        while True:
            logits = torch.tensor([rng.gauss(0, 1.0) for _ in range(VOCAB)], dtype=torch.float32)
            order = logits.argsort(descending=True)
            k = options["top_k"]
            logits[order[k : k + 4]] = logits[order[k - 1]].item()
            after = processors(model, options, 1)(torch.tensor([[0]]), logits[None].clone())[0]
            shares = torch.softmax(after.double(), -1)
            if shares[shares > 0].min() >= SMALLEST_SHARE and int((shares > 0).sum()) == k + 4:
                break
        cases.append({"options": options, "seen": [], "logits": logits.tolist(), "shares": shares.tolist()})
    return cases


def logprobs(rng):
    cases = []
    for scale in (0.1, 3, 100, 1e4):
        logits = torch.tensor([rng.gauss(0, scale) for _ in range(VOCAB)], dtype=torch.float32)
        cases.append({"logits": logits.tolist(), "logprobs": torch.log_softmax(logits.double(), -1).tolist()})
    return cases


def generation(name, penalty, rng):
    model = LlamaForCausalLM.from_pretrained(
        DATA / "checkpoints" / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model.generation_config.eos_token_id = None
    while True:
        prompt = [rng.randrange(model.config.vocab_size) for _ in range(12)]
        prompt[5] = prompt[2]
        out = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False, repetition_penalty=penalty, max_new_tokens=STEPS, eos_token_id=None, pad_token_id=0,
            return_dict_in_generate=True, output_scores=True)
        best = torch.stack(out.scores)[:, 0].topk(2).values
        plain = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False, max_new_tokens=STEPS, eos_token_id=None, pad_token_id=0)[0]
        changed = not torch.equal(plain, out.sequences[0])
        if changed and (best[:, 0] - best[:, 1]).min() >= SMALLEST_GAP:
            return {"checkpoint": name, "repetition_penalty": penalty, "prompt": prompt,
                    "tokens": out.sequences[0, len(prompt):].tolist()}


def main():
    rng = random.Random(13)
    model = LlamaForCausalLM.from_pretrained(DATA / "checkpoints" / "llama2", dtype=torch.float32).eval()
    sections = {
        "warped": warped(model, rng) + tied(model, random.Random(14)),
        "logprobs": logprobs(rng),
        "generations": [generation("llama2", 1.3, rng), generation("llama3-gqa", 1.1, rng),
                        generation("odd-sharded", 1.8, rng), generation("one-kv-head", 0.9, rng)],
    }
    lines = [f'{{"torch": "{torch.__version__}", "transformers": "{transformers.__version__}"']
    for name, cases in sections.items():
        lines[-1] += ","
        lines.append(f'"{name}": [')
        lines.extend(json.dumps(case) + "," for case in cases)
        lines[-1] = lines[-1][:-1] + "]"
    (DATA / "sampling").mkdir(exist_ok=True)
    (DATA / "sampling" / "transformers.json").write_text("\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
