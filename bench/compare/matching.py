#!/usr/bin/env python3
"""Maximum-weight matching beside scipy's linear_sum_assignment, on the same similarities, one thread each.

    bench/compare/matching.py PEER [FOLDER] [--size N] [--repeat N]      # PEER: the program matching_peer

Needs numpy and scipy. scipy gets the matrix as it wants it: double, 0 where there is no edge; making it is not timed.
For Lathe: the edges from the float32 matrix, then the matching, which includes the test whether the optimum is unique.
The weights must agree. Prints a table; processor time, least of the repeats, milliseconds.
"""
import argparse, json, pathlib, subprocess, tempfile, time

import numpy as np
from scipy.optimize import linear_sum_assignment

THRESHOLD = 0.6


def cases(n, rng):
    f = np.float32
    yield "uniform above the threshold (all edges)", rng.uniform(0.601, 1, (n, n)).astype(f)
    yield "uniform in [0, 1] (40 % edges)", rng.random((n, n)).astype(f)
    points = rng.normal(size=(n, 24))
    noisy = points[rng.permutation(n)] + 0.45 * rng.normal(size=(n, 24))
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    yield "cosines of noisy copies (few edges a row)", np.maximum(unit(noisy) @ unit(points).T, 0).astype(f)
    yield "four values (ties everywhere)", rng.choice(np.array([0.7, 0.8, 0.9, 1], f), (n, n))
    yield "four values, 1 % edges", np.where(rng.random((n, n)) < 0.01, rng.choice(np.array([0.7, 0.8, 0.9, 1], f), (n, n)), f(0))
    yield "all 1 (the same text everywhere)", np.ones((n, n), f)
    i = np.arange(1, n + 1)
    yield "products i j (hard for row reductions)", (0.601 + 0.399 * np.outer(i, i) / n**2).astype(f)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir())
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.folder) / "lathe-matching.f32"
    print("| similarities | size | edges | scipy ms | lathe any ms | lexicographic ms | networkx rule ms | of which edges ms | unique |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n in (arguments.size, 8):
        for name, matrix in cases(n, np.random.default_rng(1)):
            path.write_bytes(matrix.tobytes())
            gains = np.where(matrix.astype(np.float64) > THRESHOLD, matrix.astype(np.float64), 0)
            loops = 1 if n > 100 else 1000
            best = float("inf")
            for _ in range(arguments.repeat):
                start = time.process_time()
                for _ in range(loops):
                    rows, columns = linear_sum_assignment(gains, maximize=True)
                best = min(best, (time.process_time() - start) / loops)
            weight = int(np.rint(gains[rows, columns] * 2**24).sum())
            ours = {}
            for rule in ("any", "lexicographic", "networkx"):
                out = subprocess.run([arguments.peer, path, str(n), str(n), rule, str(arguments.repeat)],
                                     check=True, capture_output=True, text=True)
                ours[rule] = json.loads(out.stdout)
                assert ours[rule]["weight"] == weight, (name, rule, ours[rule], weight)
            shown = [f"{1e3 * (o['edges_s'] + o['matching_s']):.4g}" for o in ours.values()]
            any_rule = ours["any"]
            print(f"| {name} | {n} | {any_rule['edges']} | {1e3 * best:.4g} | {' | '.join(shown)} | "
                  f"{1e3 * any_rule['edges_s']:.4g} | {'yes' if any_rule['unique'] else 'no'} |", flush=True)
    path.unlink()


if __name__ == "__main__":
    main()
