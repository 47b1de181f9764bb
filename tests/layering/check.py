#!/usr/bin/env python3
"""Who may include whom, asked of the compiler's own include graph: search paths cannot tell, since Boost, range-v3 and
the other libraries all lie in one folder. The rules are in layers.txt."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
# A backend that was left out of the build cannot be looked at: its library is missing.
backends = os.environ.get("LATHE_BACKENDS", "*").split()
roots = [root / "include", *(r for b in backends for r in sorted(root.glob(f"backends/{b}/include")))]
libraries = {"boost", "range", "nlohmann", "Eigen", "xtensor", "xtl", "CL", "clblast", "CLI", "yaml-cpp", "catch2",
             "benchmark", "tbb", "unicode"}


def layer_of(header):
    """The layer of a path relative to include/lathe."""
    parts = header.parts
    if parts[0] == "backend":
        return f"backend/{header.stem if len(parts) == 2 else parts[1]}"
    return parts[0]


def library_of(path):
    """The library a path outside the tree belongs to, as far as the rules name it."""
    found = re.search(r"/include/(?:[a-z0-9_]+-linux-gnu/)?(?:eigen3/)?([A-Za-z0-9_-]+)[/.]", path)
    return found[1] if found and found[1] in libraries else None


def rules():
    direct = {}
    for line in (root / "tests/layering/layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            layer, rest = (part.strip() for part in line.split(" : "))
            layers, _, third_party = rest.partition("|")
            direct[layer] = (set(layers.lstrip(": ").split()), set(third_party.split()))

    def closure(layer):
        layers, third_party = {layer}, set(direct[layer][1])
        for other in direct[layer][0]:
            more_layers, more_libraries = closure(other)
            layers |= more_layers
            third_party |= more_libraries
        return layers, third_party

    return {layer: closure(layer) for layer in direct}


def included_by(header):
    flags = [f"-I{r}" for r in roots] + ["-isystem", os.environ.get("LATHE_EIGEN_INCLUDE", "/usr/include/eigen3")]
    done = subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-M", *flags, "-x", "c++", str(header)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise LookupError(done.stderr.strip())
    return done.stdout.replace("\\\n", " ").split()[2:]


def complaints(header, base, allowed):
    here = header.relative_to(base / "lathe")
    layer = layer_of(here)
    if layer not in allowed:
        return [f"lathe/{here}: no rule for its layer '{layer}' in tests/layering/layers.txt"]
    layers, third_party = allowed[layer]
    bad = set()
    try:
        paths = included_by(header)
    except LookupError as e:
        return [f"lathe/{here}: {e}"]
    for path in paths:
        real = pathlib.Path(os.path.realpath(path))
        own = next((r for r in roots if real.is_relative_to(r)), None)
        if own is not None:
            reached = layer_of(real.relative_to(own / "lathe"))
            if reached not in layers:
                bad.add(f"lathe/{here}: layer '{layer}' may not reach {real.relative_to(own)}")
        elif (library := library_of(path)) is not None and library not in third_party:
            bad.add(f"lathe/{here}: layer '{layer}' may not reach the library '{library}'")
    return sorted(bad)


def main():
    allowed = rules()
    headers = [(h, r) for r in roots for h in sorted(r.rglob("*.hpp"))]
    if not headers:
        sys.exit("layering: no header found")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [c for cs in pool.map(lambda hr: complaints(*hr, allowed), headers) for c in cs]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"layering: {len(headers)} headers, {len(found)} broken rules")
    sys.exit(1 if found else 0)


main()
