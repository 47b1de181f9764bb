#!/usr/bin/env python3
"""pieces --benchmark_format=json | table.py: the backends side by side, in Markdown. Times in ms; bytes for each second as a part of what
a plain loop reads (`read`) or copies (`copy`) in the same run, the larger of the two."""
import json
import sys

results = json.load(sys.stdin)["benchmarks"]
loops = {b["name"].split("/")[0]: b["bytes_per_second"] for b in results if b["name"].split("/")[0] in ("read", "copy")}
limit = max(loops.values())
times = {}
for b in results:
    words = b["name"].split("/")
    if words[0] in loops:
        continue
    backend, threads = words[0], words[-2]
    times.setdefault("/".join(words[1:-2]), {})[backend, threads] = b
columns = sorted({c for row in times.values() for c in row})
print(f"A plain loop reads {loops['read'] / 1e9:.1f} GB/s and copies (counted twice) {loops['copy'] / 1e9:.1f} GB/s in the same run.\n")
print("| operation | " + " | ".join(f"{b}, {t} thread{'s' * (t != '1')}" if b != "opencl" else b for b, t in columns) + " |")
print("|---|" + "---|" * len(columns))
for name, row in times.items():
    cells = []
    for c in columns:
        if c not in row:
            cells.append("")
            continue
        b = row[c]
        rate = f"{b['flop/s'] / 1e9:.0f} GFLOP/s" if "flop/s" in b else f"{b['bytes_per_second'] / limit:.2f}"
        cells.append(f"{b['real_time']:.1f} ({rate})")
    print(f"| {name} | " + " | ".join(cells) + " |")
