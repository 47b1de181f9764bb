#!/usr/bin/env python3
"""Turns the JSON lines of run.sh into the tables of bench/results."""
import json
import pathlib
import platform
import sys

rows = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
torch = {r["operation"]: r for r in rows if r["who"] == "torch"}
goals = {"linear": 15, "task_arithmetic": 20, "ties": 60, "frank_wolfe": 15, "kinship": 60}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


print(f"Machine: {processor()}, {platform.system()} {platform.release()}; CPU seconds of one thread unless said.\n")
print("Four checkpoints of 496 MB (f32) in memory:\n")
print("| operation | lathe s | byte bound s | lathe / bound | torch s | torch / lathe | wanted | torch peak RSS MiB |")
print("|---|---|---|---|---|---|---|---|")
for r in rows:
    if r["who"] != "lathe" or r["flags"]:
        continue
    peer = torch["ties" if r["operation"].startswith("ties") else r["operation"]]
    print(f"| {r['operation']} | {r['cpu_seconds']:.3f} | {r['bound_cpu_seconds']:.3f} | {r['cpu_seconds'] / r['bound_cpu_seconds']:.2f} "
          f"| {peer['cpu_seconds']:.2f} | {peer['cpu_seconds'] / r['cpu_seconds']:.0f} | {goals[peer['operation']]} | {peer['peak_rss_mib']} |")
print("\nStreamed from warm files to a file; the bound reads and writes the same bytes in the same way:\n")
print("| operation | threads | wall s | bound wall s | wall / bound | CPU s | CPU / bound CPU | peak anonymous MiB |")
print("|---|---|---|---|---|---|---|---|")
for r in rows:
    if r["who"] == "lathe" and r["flags"]:
        threads = 2 if "--threads 2" in r["flags"] else 1
        print(f"| {r['operation']} | {threads} | {r['wall_seconds']:.2f} | {r['bound_wall_seconds']:.2f} | {r['wall_seconds'] / r['bound_wall_seconds']:.2f} "
              f"| {r['cpu_seconds']:.2f} | {r['cpu_seconds'] / r['bound_cpu_seconds']:.2f} | {r['anonymous_mib']:.0f} |")
