#!/usr/bin/env python3
"""Trains models/demo, the small Llama that ships with Airlock, and writes the held-out text.

  pip install torch transformers tokenizers safetensors rdata
  tools/demo_model/train.py --out models/demo --heldout tests/data/heldout/persuasion.txt

Deterministic for a seed and a number of threads; continues from its last checkpoint (--work);
about an hour on two CPU cores. A larger model of the same tokenizer and text, to measure quality
on and too large to commit (24 million parameters, some two hours):

  tools/demo_model/train.py --size large --out build/large_model/trained
"""

import argparse
import json
import math
import pathlib
import time
import typing

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers import trainers
from transformers import LlamaConfig, LlamaForCausalLM

import text

VOCABULARY = 3072
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
# The split of Llama 3's tokenizer.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
           r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class Size(typing.NamedTuple):
    """A model and the training that two CPU cores have time for."""
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    steps: int
    rate: float  # AdamW's, at its highest


SIZES = {"demo": Size(256, 704, 4, 8, 2, steps=3000, rate=2e-3),
         "large": Size(512, 2048, 6, 8, 2, steps=1200, rate=1e-3)}


def make_tokenizer(training: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(BOS, special=True, normalized=False),
               AddedToken(EOS, special=True, normalized=False)]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, min_frequency=2,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    tokenizer.train_from_iterator(training, trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1",
                                      special_tokens=[(BOS, bos)])])
    return tokenizer


def configuration(tokenizer: Tokenizer, size: Size) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=size.hidden, intermediate_size=size.ffn,
        num_hidden_layers=size.layers, num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads, head_dim=size.hidden // size.heads,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5, tie_word_embeddings=True, hidden_act="silu",
        bos_token_id=tokenizer.token_to_id(BOS), eos_token_id=tokenizer.token_to_id(EOS),
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 4.0,
                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 256})


def heldout_loss(model, stream, window, bos):
    """Mean negative log-likelihood over whole windows that each begin with <bos>."""
    model.eval()
    rows = stream[:len(stream) // (window - 1) * (window - 1)].view(-1, window - 1)
    rows = torch.cat([torch.full((len(rows), 1), bos), rows], dim=1)
    with torch.no_grad():
        losses = [model(row[None], labels=row[None]).loss.item() for row in rows]
    model.train()
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--heldout", type=pathlib.Path, help="file to write the held-out text to")
    parser.add_argument("--work", type=pathlib.Path,
                        help="folder of the run's own checkpoint; build/SIZE_model if not named")
    parser.add_argument("--steps", type=int, help="that of the size if not named")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--rate", type=float, help="that of the size if not named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint-every", type=int, default=100)
    parser.add_argument("--bf16", action="store_true",
                        help="multiply in bfloat16 while training: quicker on CPUs with AMX")
    args = parser.parse_args()
    size = SIZES[args.size]
    args.steps = args.steps or size.steps
    args.rate = args.rate or size.rate
    args.work = args.work or pathlib.Path(f"build/{args.size}_model")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)

    training, held_out = text.split(text.novels())
    if args.heldout:
        args.heldout.parent.mkdir(parents=True, exist_ok=True)
        args.heldout.write_text(held_out)
    tokenizer = make_tokenizer(training)

    def ids(part):
        return torch.tensor(tokenizer.encode(part, add_special_tokens=False).ids)

    stream = torch.cat([ids(part) for part in training])
    held = ids(held_out)
    model = LlamaForCausalLM(configuration(tokenizer, size))
    bos = tokenizer.token_to_id(BOS)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{sum(map(len, training))} characters, {len(stream)} tokens, {parameters} parameters, "
          f"{args.steps * args.batch * args.window / len(stream):.1f} epochs", flush=True)

    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1},
                                   {"params": others, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.95))

    def rate(step):
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))

    saved = args.work / "checkpoint.pt"
    first = 0
    if saved.exists():
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        print(f"continuing at step {first}", flush=True)

    model.train()
    start, mean = time.monotonic(), None
    for step in range(first, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = args.rate * rate(step)
        # Seeded by the step, so that a run that was interrupted draws what it would have drawn.
        draw = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        offsets = torch.randint(0, len(stream) - args.window, (args.batch,), generator=draw)
        rows = torch.stack([torch.cat([torch.tensor([bos]), stream[o:o + args.window - 1]])
                            for o in offsets.tolist()])
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = model(rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        done = step + 1
        if done % 20 == 0:
            each = (time.monotonic() - start) / (done - first)
            print(f"step {done}/{args.steps} loss {mean:.3f} {each * 1000:.0f} ms/step "
                  f"{each * (args.steps - done) / 60:.0f} min left", flush=True)
        if done % args.checkpoint_every == 0 or done == args.steps:
            partial = saved.with_suffix(".part")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                        "step": done}, partial)
            partial.replace(saved)
        if done % 400 == 0:
            print(f"step {done}: held-out perplexity "
                  f"{math.exp(heldout_loss(model, held, args.window, bos)):.2f}", flush=True)

    model = model.to(torch.bfloat16)
    model.generation_config.do_sample = True
    model.save_pretrained(args.out, safe_serialization=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    (args.out / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
         "model_max_length": 1024}, indent=2) + "\n")
    perplexity = math.exp(heldout_loss(model.float(), held, args.window, bos))
    print(f"held-out perplexity of the bf16 weights: {perplexity:.3f} a token")


if __name__ == "__main__":
    main()
