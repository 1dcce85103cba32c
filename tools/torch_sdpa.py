#!/usr/bin/env python3
"""Times PyTorch's scaled_dot_product_attention at the shapes of cuda_bench: medians in ms."""

import statistics
import sys

import torch


def milliseconds(work):
    times = []
    for run in range(-3, 20):
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        if run >= 0:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    print("attention, 32/8 heads     dtype      ms  TFLOP/s (causal half)")
    for head_dim in (64, 128):
        for tokens in (1024, 4096):
            def tensor(heads):
                return torch.zeros(1, heads, tokens, head_dim, dtype=torch.bfloat16, device="cuda")

            q, k, v = tensor(32), tensor(8), tensor(8)
            time = milliseconds(
                lambda: torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=True, enable_gqa=True
                )
            )
            flops = 2.0 * 32 * head_dim * tokens * tokens
            print(f"{tokens:<4} tokens, head_dim {head_dim:<4} bf16 {time:>8.3f} {flops / time * 1e-9:>8.1f}")


if __name__ == "__main__":
    main()
