#!/usr/bin/env python3
"""Scores the held-out text with models/demo by Hugging Face transformers in float32.

Writes tests/data/heldout/transformers.json, against which tests/runner/perplexity_test.cc holds
Airlock. The windows are those of src/airlock/runner/perplexity.h: window k is a BOS and the text's
tokens [k * stride, k * stride + window - 1); each scores the tokens that none before it held.

    pip install torch==2.15.0 transformers==5.23.0 tokenizers
    python3 tools/make_quality_goldens.py
"""

import json
import math
import pathlib

import tokenizers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOW, STRIDE = 256, 128


def main():
    folder = ROOT / "tests/data/heldout"
    model = transformers.LlamaForCausalLM.from_pretrained(
        ROOT / "models/demo", dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(ROOT / "models/demo/tokenizer.json"))
    text = (folder / "persuasion.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    bos = model.config.bos_token_id
    assert tokenizer.encode(text).ids == [bos] + ids

    sums, scored_to, begin = [], 0, 0
    while scored_to < len(ids):
        end = min(begin + WINDOW - 1, len(ids))
        row = torch.tensor([[bos] + ids[begin:end]])
        with torch.no_grad():
            logits = model(row).logits[0].double()
        log_p = torch.log_softmax(logits[:-1], dim=-1).gather(1, row[0, 1:, None])[:, 0]
        sums.append(-log_p[scored_to - begin:].sum().item())
        scored_to, begin = end, begin + STRIDE

    perplexity = math.exp(sum(sums) / len(ids))
    result = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0],
              "window": WINDOW, "stride": STRIDE, "tokens": len(ids), "perplexity": perplexity,
              "window_nll": [round(value, 6) for value in sums]}
    (folder / "transformers.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(sums)} windows, {len(ids)} tokens: perplexity {perplexity:.4f}")


if __name__ == "__main__":
    main()
