#!/usr/bin/env python3
"""Cases that checkpoint_writer_fuzz writes, read by the Python safetensors library: written_cases.py PROGRAM [CASES]

The program runs on its corpus and then on mutants, and leaves each case that could be written with a list of what it
holds. Exits 0 if the library reads the same, 1 at the first difference, 77 (skipped) where it cannot be imported."""
import json
import pathlib
import subprocess
import os
import sys
import tempfile

try:
    import safetensors
except ImportError as error:
    print(f"SKIPPED: nothing was read by the Python library: {error}", file=sys.stderr)
    sys.exit(77)


def contents(folder):
    """Metadata and tensors of all files of a case, and that an index, if there is one, names the file of each tensor."""
    metadata, tensors, place = {}, [], {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
        for name, tensor in safetensors.deserialize(path.read_bytes()):
            tensors.append([name, tensor["dtype"], list(tensor["shape"]), bytes(tensor["data"]).hex()])
            place[name] = path.name
    for path in folder.glob("*.index.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["weight_map"] == place, f"{path}: another index"
    return {"metadata": metadata, "tensors": sorted(tensors, key=lambda t: t[0].encode())}


def main(program, cases=2000):
    corpus = pathlib.Path(__file__).resolve().parent / "corpus" / "checkpoint_writer"
    with tempfile.TemporaryDirectory() as scratch:
        written, grown = pathlib.Path(scratch) / "written", pathlib.Path(scratch) / "grown"
        grown.mkdir()
        done = subprocess.run([program, f"-runs={cases}", "-seed=1", "-max_len=512", grown, corpus],
                              env={**os.environ, "LATHE_WRITTEN_CASES": str(written)}, capture_output=True, timeout=280)
        if done.returncode != 0:
            sys.exit(done.stderr.decode(errors="replace")[-4000:])
        count = sharded = 0
        for folder in written.iterdir():
            expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
            found = contents(folder)
            if found != expected:
                sys.exit(f"FAILED: found\n  {str(found)[:2000]}\nexpected\n  {str(expected)[:2000]}")
            count += 1
            sharded += any(folder.glob("*.index.json"))
        print(f"{count} cases, {sharded} of them in shards, are the same in Python")
        if count < int(cases) // 4 or sharded == 0:
            sys.exit(f"FAILED: found {count} cases, {sharded} in shards, expected more of {cases} runs")


main(*sys.argv[1:])
