#!/usr/bin/env python3
"""Core-SVP estimate of the lattice pads' module-LWE parameters; pure Python.

The cost model is that of "Post-quantum key exchange: a new hope" (Alkim, Ducas, Pöppelmann,
Schwabe, 2016, section 6): one call of an SVP oracle in dimension b by sieving costs 2^(0.292 b)
operations, 2^(0.265 b) on a quantum computer, 2^(0.2075 b) if only the list of vectors is paid
for. The primal attack looks for the unique shortest vector of the embedded lattice, the dual
attack for short vectors of the dual that tell LWE samples from uniform ones. The ring's structure
is not used: no attack that gains from it is known for rank * degree of this size.
A uniform secret is turned into one with the noise's distribution by giving up as many samples as
it has coefficients (Applebaum, Cash, Peikert, Sahai, 2009), which an attacker has in plenty.
"""
import argparse
import math

CLASSICAL, QUANTUM, PLAUSIBLE = 0.292, 0.265, 0.2075


def log_delta(b):
    """log2 of BKZ-b's root-Hermite factor (Chen, 2013), for b >= 50."""
    return math.log2((math.pi * b) ** (1 / b) * b / (2 * math.pi * math.e)) / (2 * (b - 1))


def primal(n, log_q, sigma):
    """Least b with which some number of samples m succeeds: (b, m)."""
    best = None
    for m in range(n // 4, 3 * n, 8):
        d = m + n + 1
        low, high = 60, d
        if not primal_succeeds(high, d, m, log_q, sigma):
            continue
        while low < high:
            b = (low + high) // 2
            if primal_succeeds(b, d, m, log_q, sigma):
                high = b
            else:
                low = b + 1
        if best is None or low < best[0]:
            best = (low, m)
    return best


def primal_succeeds(b, d, m, log_q, sigma):
    return math.log2(sigma * math.sqrt(b)) <= (2 * b - d - 1) * log_delta(b) + m * log_q / d


def dual(n, log_q, sigma):
    """(cost in bits, b, m) at the best advantage per cost, counting the sieve's many vectors."""
    best = None
    for b in range(60, 2 * n, 2):
        if best is not None and CLASSICAL * b > best[0]:
            break
        delta = log_delta(b)
        # The dual lattice has dimension m + n and volume q^n; the best m is where its derivative is 0.
        m = max(1, min(3 * n, round(math.sqrt(n * log_q / delta)) - n))
        log_length = (m + n) * delta + n * log_q / (m + n)
        tau = 2 ** log_length * sigma / 2 ** log_q
        log_advantage = -2 * (math.pi * tau) ** 2 * math.log2(math.e)
        repeats = max(0.0, -2 * log_advantage - PLAUSIBLE * b)
        cost = CLASSICAL * b + repeats
        if best is None or cost < best[0]:
            best = (cost, b, m)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lattice", default="512x3,1024x2,2048x1,512x2",
                        help="degree x rank, several with commas")
    parser.add_argument("--noise", type=int, default=8, help="e is uniform in [-noise, noise)")
    parser.add_argument("--prime", type=int, default=2**31 - 2**24 + 1)
    arguments = parser.parse_args()
    log_q = math.log2(arguments.prime)
    sigma = math.sqrt(((2 * arguments.noise) ** 2 - 1) / 12)
    print(f"p = {arguments.prime}, log2 p = {log_q:.3f}, noise uniform in "
          f"-{arguments.noise}..{arguments.noise - 1}, standard deviation {sigma:.2f}, "
          "secret uniform")
    print("degree rank    dim | primal: b     m  classical quantum plausible | dual: b  classical")
    for text in arguments.lattice.split(","):
        degree, rank = (int(part) for part in text.split("x"))
        n = degree * rank
        b, m = primal(n, log_q, sigma)
        cost, dual_b, _ = dual(n, log_q, sigma)
        print(f"{degree:6} {rank:4} {n:6} |    {b:5} {m:5}  {CLASSICAL * b:9.1f} {QUANTUM * b:7.1f} "
              f"{PLAUSIBLE * b:9.1f} |  {dual_b:5} {cost:10.1f}")


if __name__ == "__main__":
    main()
