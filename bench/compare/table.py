#!/usr/bin/env python3
"""Turns the JSON lines of run.sh into the tables of bench/results."""
import json
import pathlib
import platform
import sys

rows = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
torch = {r["operation"]: r for r in rows if r["who"] == "torch"}
wanted = {"linear": 15, "task_arithmetic": 20, "ties": 60, "frank_wolfe": 15, "kinship": 60}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def ours(build, dtype, files):
    """The rows of one build and type, by operation and flags."""
    return [r for r in rows if r["who"] == "lathe" and r["build"] == build and r["dtype"] == dtype
            and ("--files" in r["flags"]) == files]


def named(found, operation):
    return next(r for r in found if r["operation"] == operation)


def of_bound(r):
    return r["cpu_seconds"] / r["bound_cpu_seconds"]


f32 = ours("release", "F32", files=False)
print(f"Machine: {processor()}, {platform.system()} {platform.release()}; CPU seconds of one thread unless said.\n")
print("Four checkpoints of 496 MB (kinship: two, and the base) in memory. The bound reads each input once and writes the output "
      "once, measured in turn with the operation; torch does what the published tools do, on the same files:\n")
print("| operation | lathe s | bound s | lathe / bound | torch s | torch / lathe | wanted | torch peak RSS MiB |")
print("|---|---|---|---|---|---|---|---|")
for r in f32:
    peer = torch[r["operation"].removesuffix("_model").removesuffix("_tensor")]
    print(f"| {r['operation']} | {r['cpu_seconds']:.3f} | {r['bound_cpu_seconds']:.3f} | {of_bound(r):.2f} | {peer['cpu_seconds']:.2f} "
          f"| {peer['cpu_seconds'] / r['cpu_seconds']:.0f} | {wanted[peer['operation']]} | {peer['peak_rss_mib']} |")
print("\nThe same bytes in other types, as parts of the bound of the same run, and a plain `-O2` build for any x86-64:\n")
print("| operation | f32 / bound | bf16 / bound | f16 / bound | bf16 / f32, per byte | f16 / f32, per byte | -O2 build / release |")
print("|---|---|---|---|---|---|---|")
for r in f32:
    by_type = {d: named(ours("release", d, files=False), r["operation"]) for d in ("BF16", "F16")}
    portable = named(ours("portable", "F32", files=False), r["operation"])
    relative = [by_type[d]["cpu_seconds"] / r["cpu_seconds"] for d in ("BF16", "F16")]
    print(f"| {r['operation']} | {of_bound(r):.2f} | {of_bound(by_type['BF16']):.2f} | {of_bound(by_type['F16']):.2f} "
          f"| {relative[0]:.2f} | {relative[1]:.2f} | {portable['cpu_seconds'] / r['cpu_seconds']:.2f} |")
print("\nStreamed from warm files to a file; the bound reads and writes the same bytes in the same way. frank_wolfe holds x and a "
      "gradient in memory, its peak is without them:\n")
print("| operation | models | threads | wall s | wall / bound | CPU s | CPU / bound | peak anonymous MiB |")
print("|---|---|---|---|---|---|---|---|")
for r in ours("release", "F32", files=True):
    flags = dict(zip(*[iter(r["flags"].split())] * 2))
    print(f"| {r['operation']} | {flags.get('--models', 4)} | {flags.get('--threads', 1)} | {r['wall_seconds']:.2f} "
          f"| {r['wall_seconds'] / r['bound_wall_seconds']:.2f} | {r['cpu_seconds']:.2f} | {of_bound(r):.2f} | {r['anonymous_mib']:.0f} |")
