#!/usr/bin/env python3
"""The replay program fails what it should: recorded cases with one thing changed in each, none of which may pass.

    replay_refuses.py            the program and the cases are named in LATHE_REPLAY and LATHE_TEST_DATA

Exits 0 if every changed case fails, 1 if one passes, 77 (skipped) only where the program was not built."""
import copy
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

CASES = ["task_arithmetic", "ties_exact_fwm", "dare_ta_fwm", "dare_rng", "slerp_far", "schedule", "simplex", "fw_fwm_layer_merge_task",
         "fw_zeronorm_fwm_layer_nan", "fwsoft_ta_task", "fwsoft_ada", "adamerging_layer", "kinship", "kinship_topk_none",
         "fwclassic_away_exact", "bf16_linear", "badfiles", "missing_strict_error"]
if "LATHE_REPLAY" not in os.environ:
    print("SKIPPED: there is no replay program", file=sys.stderr)
    sys.exit(77)
source = pathlib.Path(os.environ["LATHE_TEST_DATA"]) / "merge"


def split(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), bytearray(data[8 + size:])


def write(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


def leaves(value, path=()):
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, path + (key,))
    else:
        yield path, value


def changed_json(document, recorded):
    """Documents that differ in one value, one field or one entry."""
    for extra in (1, None):
        more = copy.deepcopy(document)
        (more[0] if isinstance(more, list) else more)["unheard_of"] = extra
        yield f"field {extra}", more
    if recorded == "trace":
        yield "shorter", document[:-1]
        yield "longer", document + document[-1:]
    # Questions, names of files, and what is said of other runs are no results.
    others = {"result", "v", "setting", "tensor", "t", "a", "b", "metric", "mode", "low_precision", "mask_files", "counter", "key",
              "converge", "optimum"}
    results = [(path, value) for path, value in leaves(document) if not others & set(path)]
    for path, value in results[::len(results) // 20 + 1]:
        other = copy.deepcopy(document)
        at = other
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = (0.123 if value is None else value + "x" if isinstance(value, str) else
                        value + 1 if isinstance(value, int) else value + 0.1)
        yield ".".join(map(str, path)), other
        if value is not None:
            at[path[-1]] = None
            yield ".".join(map(str, path)) + " null", other


def changed_checkpoint(path):
    """Headers and data that differ in one tensor."""
    header, data = split(path)
    names = [n for n in header if n != "__metadata__" and header[n]["data_offsets"][0] != header[n]["data_offsets"][1]]
    for name in names:
        other = bytearray(data)
        last = header[name]["data_offsets"][1] - 1  # the sign and the exponent of the last element
        other[last] ^= 0x01 if header[name]["dtype"] in ("BOOL", "I64") else 0x84
        yield f"value_{name}", header, other
        infinite = bytearray(data)
        if header[name]["dtype"] == "F32":
            infinite[last - 3:last + 1] = struct.pack("<f", float("nan"))
            yield f"nan_{name}", header, infinite
    entry = header[names[-1]]
    yield "extra", {**header, "unheard_of": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}}, data
    yield "renamed", {("other" if n == names[-1] else n): e for n, e in header.items()}, data
    yield "shape", {**header, names[-1]: {**entry, "shape": [*entry["shape"], 1]}}, data


def changed_manifest(manifest):
    expected = manifest["expected"]
    for where in ("options", "inputs", "expected", "tolerance", None):
        other = copy.deepcopy(manifest)
        (other if where is None else other[where])["unheard_of"] = "x" if where == "inputs" else 1
        if where != "tolerance" or "error" not in expected:
            yield f"unheard_of_{where}", other
    yield "method", {**manifest, "method": "unheard_of"}
    if "error" not in expected:
        yield "error", {**manifest, "expected": {"error": "this case has none"}}
    for key in manifest["inputs"]:
        files = manifest["inputs"][key]
        if isinstance(files, list) and key in ("models", "gradients", "files"):
            other = copy.deepcopy(manifest)
            other["inputs"][key][0] = {"name": "m0", "file": "not_there"} if key == "models" else "not_there"
            yield f"missing_{key}", other


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for data in source.glob("data_*"):
        (folder / data.name).symlink_to(data)
    names = []

    def case(name, manifest, change=None):
        name = f"{name}.{len(names)}"
        shutil.copytree(source / name.split(".")[0], folder / name)
        (folder / name / "manifest.json").write_text(json.dumps(manifest))
        if change:
            change(folder / name)
        names.append(name)

    what = {}
    for name in CASES:
        manifest = json.loads((source / name / "manifest.json").read_text())
        for label, other in changed_manifest(manifest):
            case(name, other)
            what[names[-1]] = label
        for recorded, file in manifest["expected"].items():
            if recorded in ("json", "trace"):
                for label, document in changed_json(json.loads((source / name / file).read_text()), recorded):
                    case(name, manifest, lambda to: (to / file).write_text(json.dumps(document)))
                    what[names[-1]] = f"{recorded} {label}"
            if recorded == "checkpoint":
                for label, header, data in changed_checkpoint(source / name / file):
                    case(name, manifest, lambda to: write(to / file, header, data))
                    what[names[-1]] = f"{recorded} {label}"
    (folder / "index.json").write_text(json.dumps({"cases": names}))
    run = subprocess.run([os.environ["LATHE_REPLAY"], "--fixtures", str(folder), "--verbose"], capture_output=True, text=True)
    failed = {line.split()[1].rstrip(":") for line in run.stdout.splitlines() if line.startswith("FAILED")}
    passed = [n for n in names if n not in failed]
    for name in passed:
        print(f"not refused: {name.split('.')[0]} with another {what[name]}")
    print(f"replay: {len(names)} changed cases, {len(failed)} refused, exit status {run.returncode}")
    sys.exit(0 if names and not passed and run.returncode == 1 else 1)
