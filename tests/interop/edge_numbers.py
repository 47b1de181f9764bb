#!/usr/bin/env python3
"""The program on numbers and tensors at the edge: NaN and infinity (docs/numbers.md says what becomes of them), zeros,
subnormals, results too large for their type, no dimensions, no elements, any names, many tensors, and results that are the
same bits for any number of threads, any window and any order of models that are alike.

    edge_numbers.py PROGRAM        or name the program in LATHE_PROGRAM

Exits 0 if all holds, 1 at the first thing that does not, 77 (skipped) only where numpy or safetensors cannot be imported."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy
    import safetensors.numpy
except ImportError as error:
    print(f"SKIPPED: no number was tried: {error}", file=sys.stderr)
    sys.exit(77)

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else os.environ["LATHE_PROGRAM"]
DATA = pathlib.Path(os.environ.get("LATHE_TEST_DATA", pathlib.Path(__file__).parent.parent / "data"))
F32, F16 = numpy.float32, numpy.float16
INF = numpy.inf


def expect(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


def run(*words, status=0):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=120)
    expect(done.returncode == status, f"lathe {' '.join(map(str, words))}: status {done.returncode}, expected {status}: {done.stderr}")
    if status != 0:
        expect(done.stderr.count("\n") == 1 and done.stderr.startswith("lathe: error: "), f"one line: {done.stderr}")
    return done


def save(path, tensors):
    safetensors.numpy.save_file({name: numpy.ascontiguousarray(t) if t.ndim else t for name, t in tensors.items()}, path)
    return path


def load(path):
    return safetensors.numpy.load_file(path)


def raw(path, entries, data, metadata=None):
    """A file with any header: a list of pairs, so that names can be there twice."""
    text = json.dumps(entries) if isinstance(entries, dict) else entries
    text = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def same(a, b, what):
    expect(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), f"{what}: found {a}, expected {b}")


def models(rng, count=3, shape=(24, 16)):
    return [{"w": rng.standard_normal(shape).astype(F32), "v": rng.standard_normal(64).astype(F32)} for _ in range(count)]


# Methods without files beside the models, and whether they need a base.
ELEMENTWISE = [("average", False, []), ("linear", False, []), ("task_arithmetic", True, []), ("ties", True, []),
               ("dare", True, ["--seed", "3"])]
SPECTRAL = [("tsv", True, []), ("iso_c", True, []), ("iso_cts", True, [])]
PAIR = [("slerp", False, [])]


def merge(work, method, needs_base, more, paths, base, out, *extra, status=0):
    return run("merge", method, *(["--base", base] if needs_base else []), *more, *paths, "-o", out, *extra, status=status)


def nan_and_infinity(work, rng):
    """They spoil the elements they stand at, and no other."""
    clean = models(rng)
    base = save(work / "base.safetensors", models(rng, 1)[0])
    for name, value in (("nan", numpy.nan), ("inf", INF), ("minus", -INF)):
        spoilt = [{k: t.copy() for k, t in m.items()} for m in clean]
        spoilt[1]["w"][3, 5] = value
        good = [save(work / f"clean{i}.safetensors", m) for i, m in enumerate(clean)]
        bad = [save(work / f"bad{i}.safetensors", m) for i, m in enumerate(spoilt)]
        for method, needs_base, more in ELEMENTWISE[:3]:
            merge(work, method, needs_base, more, good, base, work / "g.safetensors")
            done = merge(work, method, needs_base, more, bad, base, work / "b.safetensors")
            g, b = load(work / "g.safetensors"), load(work / "b.safetensors")
            same(g["v"], b["v"], f"{method}, {name}: another tensor")
            others = numpy.ones((24, 16), bool)
            others[3, 5] = False
            same(g["w"][others], b["w"][others], f"{method}, {name}: other elements")
            expect(not numpy.isfinite(b["w"][3, 5]), f"{method}, {name}: it is hidden: {b['w'][3, 5]}")
            if name != "nan":
                expect("element of the result is infinite" in done.stderr and "'w' of type F32, element 53" in done.stderr,
                       f"{method}: infinity without a note: {done.stderr}")
        for method, needs_base, more in ELEMENTWISE[3:] + SPECTRAL + PAIR:
            # These decide by size, or mix a whole matrix: refused by name, or seen in the result; never a clean-looking one.
            words = bad[:2] if method == "slerp" else bad
            done = subprocess.run([PROGRAM, "merge", method, *(["--base", str(base)] if needs_base else []), *more,
                                   *map(str, words), "-o", str(work / "b.safetensors")], capture_output=True, text=True, timeout=120)
            if done.returncode == 0:
                b = load(work / "b.safetensors")
                hidden = numpy.isfinite(b["w"]).all() and method not in ("dare", "ties")
                expect(not hidden, f"{method}, {name}: it is hidden")
                expect(numpy.isfinite(b["v"]).all(), f"{method}, {name}: it reached another tensor")
            else:
                expect(done.returncode == 1 and "'w'" in done.stderr, f"{method}, {name}: {done.stderr}")
        # Distances and slopes decide: refused.
        done = run("merge", "frank_wolfe", *bad, "--target", base, "-o", work / "x.safetensors", status=1)
        expect("finite" in done.stderr, done.stderr)
        expect(not (work / "x.safetensors").exists(), "frank_wolfe wrote a result it refused")
    points = rng.standard_normal((50, 4))
    points[7, 2] = numpy.nan
    numpy.save(work / "points.npy", points)
    done = run("cluster", "fit", work / "points.npy", "--clusters", "3", "-o", work / "c.npy", status=1)
    expect("finite" in done.stderr or "NaN" in done.stderr, done.stderr)
    expect(not (work / "c.npy").exists(), "centres of points with NaN")
    for size, kind in ((1e38, F32), (1e200, numpy.float64), (1e155, numpy.float64)):  # finite, and too large to add or square
        numpy.save(work / "points.npy", (rng.uniform(-3, 3, (50, 4)) * size).astype(kind))
        done = run("cluster", "fit", work / "points.npy", "--clusters", "3", "--fuzzifier", "2", "-o", work / "c.npy", status=1)
        expect("overflow" in done.stderr or "too large" in done.stderr, done.stderr)
        expect(not (work / "c.npy").exists(), f"centres of points of {size}")


def zeros_and_subnormals(work, rng):
    base = save(work / "base.safetensors", models(rng, 1)[0])
    zero = [save(work / f"zero{i}.safetensors", {"w": numpy.zeros((24, 16), F32), "v": numpy.zeros(64, F32)}) for i in range(3)]
    for method, needs_base, more in ELEMENTWISE + SPECTRAL + PAIR:
        out = work / "z.safetensors"
        merge(work, method, needs_base, more, zero[:2] if method == "slerp" else zero, zero[0], out)
        for name, t in load(out).items():
            expect((t == 0).all(), f"{method} of zeros, base of zeros: {name}: {t}")
    for method, needs_base, more in SPECTRAL:  # task vectors of zeros: the base
        merge(work, method, needs_base, more, [base, base, base], base, work / "z.safetensors")
        for name, t in load(work / "z.safetensors").items():
            expect(numpy.array_equal(t, load(base)[name]), f"{method} of no task: {name}")
    tiny = numpy.arange(1, 65, dtype=numpy.uint32).view(F32)  # subnormal
    small = [save(work / f"tiny{i}.safetensors", {"t": tiny, "h": numpy.arange(1, 65, dtype=numpy.uint16).view(F16)}) for i in range(2)]
    run("merge", "average", small[0], "-o", work / "t.safetensors")
    for name, t in load(work / "t.safetensors").items():
        same(t, load(small[0])[name], f"subnormals of {name} are kept")
    run("merge", "average", *small, "-o", work / "t.safetensors")  # halves of odd ones are rounded, and never flushed to zero
    for name, t in load(work / "t.safetensors").items():
        off = numpy.abs(t.view(numpy.uint16 if t.dtype == F16 else numpy.uint32).astype(int) - numpy.arange(1, 65))
        expect(off.max() <= 1, f"mean of two subnormals of {name}: {t}")
    run("merge", "task_arithmetic", "--base", small[0], "--scaling", "1", small[0], "-o", work / "t.safetensors")
    same(load(work / "t.safetensors")["t"], tiny, "subnormal base and no task")


def overflow(work):
    values = numpy.array([1, 65504, 65519, 65520, -70000, 1e30], F32)
    large = save(work / "large.safetensors", {"w": values})
    out = work / "o.safetensors"
    done = run("merge", "average", large, "-o", out, "--out-dtype", "F16")
    same(load(out)["w"], numpy.array([1, 65504, 65504, INF, -INF, INF], F16), "F16, infinity")
    expect("3 elements of the result are infinite" in done.stderr and "tensor 'w' of type F16, element 3" in done.stderr, done.stderr)
    done = run("merge", "average", large, "-o", out, "--out-dtype", "F16", "--overflow", "saturate", "--json")
    same(load(out)["w"], numpy.array([1, 65504, 65504, 65504, -65504, 65504], F16), "F16, saturate")
    expect(json.loads(done.stdout)["output"]["infinite_elements"] == 3, done.stdout)
    expect("became the largest" in done.stderr, done.stderr)
    before = out.read_bytes()
    done = run("merge", "average", large, "-o", out, "--out-dtype", "F16", "--overflow", "error", status=1)
    expect("tensor 'w' of type F16, element 3" in done.stderr, done.stderr)
    expect(out.read_bytes() == before, "the old file was touched")
    top = numpy.array([3.4e38, -3.4e38, 3e38], F32)  # the largest BF16 is 3.3895e38
    huge = save(work / "huge.safetensors", {"w": top})
    done = run("merge", "average", huge, "-o", out, "--out-dtype", "BF16", "--overflow", "error", status=1)
    expect("of type BF16, element 0" in done.stderr, done.stderr)
    done = run("merge", "average", huge, "-o", out, "--out-dtype", "BF16", "--overflow", "saturate")
    bits = numpy.frombuffer(out.read_bytes()[-6:], "<u2")
    expect(list(bits[:2]) == [0x7F7F, 0xFF7F], f"BF16, saturate: {bits}")
    done = run("merge", "linear", "--weights", "1,1", "--no-normalize", huge, huge, "-o", out, "--overflow", "error", status=1)
    expect("of type F32, element 0" in done.stderr, done.stderr)
    run("merge", "average", large, "-o", out, "--out-dtype", "F32", "--overflow", "error")
    run("merge", "average", large, "-o", out, "--out-dtype", "F16", "--overflow", "sometimes", status=2)


def shapes_and_names(work):
    names = ["", " ", "ä.weight", "重み", "🙂", "a\u0000b", "\u202eright", "\\\"'", "x" * 5000, "\n", "\u0085", "\U0010ffff", "e\u0301"]
    tensors = {name: numpy.full((2, 3), i + 1, F32) for i, name in enumerate(names)}
    tensors["scalar"] = numpy.array(2.5, F32)
    tensors["empty"] = numpy.zeros((0, 4), F32)
    tensors["thin"] = numpy.zeros((3, 0, 2), F16)
    path = save(work / "names.safetensors", tensors)
    base = save(work / "names_base.safetensors", {k: numpy.zeros_like(t) for k, t in tensors.items()})
    for method, needs_base in (("average", False), ("task_arithmetic", True), ("ties", True), ("tsv", True), ("iso_c", True), ("slerp", False)):
        out = work / "n.safetensors"
        merge(work, method, needs_base, [], [path, path], base, out)
        found = load(out)
        expect(set(found) == set(tensors), f"{method}: names: {set(found) ^ set(tensors)}")
        for name, t in tensors.items():
            expect(found[name].shape == t.shape and found[name].dtype == t.dtype, f"{method}: {name!r}: {found[name].shape}")
            expect(numpy.isfinite(found[name]).all(), f"{method}: {name!r}: {found[name]}")
        if method == "average":
            for name, t in tensors.items():
                same(found[name], t, f"average: {name!r}")
    listed = run("inspect", path).stdout
    expect("\0" not in listed, "inspect prints names that steer a terminal")
    entry = '{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    raw(work / "twice.safetensors", '{"a":' + entry % (0, 4) + ',"a":' + entry % (4, 8) + "}", b"\0" * 8)
    expect("'a'" in run("inspect", work / "twice.safetensors", status=1).stderr, "a name twice")
    raw(work / "escaped.safetensors", '{"a":' + entry % (0, 4) + ',"\\u0061":' + entry % (4, 8) + "}", b"\0" * 8)
    run("inspect", work / "escaped.safetensors", status=1)
    raw(work / "utf8.safetensors", b'{"\xff":' + (entry % (0, 4)).encode() + b"}", b"\0" * 4)
    run("inspect", work / "utf8.safetensors", status=1)
    raw(work / "half.safetensors", '{"\\ud800":' + entry % (0, 4) + "}", b"\0" * 4)
    run("inspect", work / "half.safetensors", status=1)


def many_tensors(work):
    count = 100000
    header = {f"t{i:06}": {"dtype": "F32", "shape": [2], "data_offsets": [8 * i, 8 * i + 8]} for i in range(count)}
    path = raw(work / "many.safetensors", header, numpy.arange(2 * count, dtype=F32).tobytes())
    run("merge", "average", path, path, "-o", work / "many_out.safetensors", "--quiet")
    found = (work / "many_out.safetensors").read_bytes()[-8 * count:]
    expect(found == path.read_bytes()[-8 * count:], "100000 tensors")


def determinism(work, rng):
    """The same bits for 1, 2, 3, 5 and 7 threads, any window, twice, and any order where the method is symmetric; one a pillar."""
    paths = [save(work / f"d{i}.safetensors", {"w": rng.standard_normal((160, 130)).astype(F32), "v": rng.standard_normal(9001).astype(F16)})
             for i in range(4)]
    base = save(work / "dbase.safetensors", {"w": rng.standard_normal((160, 130)).astype(F32), "v": rng.standard_normal(9001).astype(F16)})
    for method, needs_base, more in ELEMENTWISE + SPECTRAL + [("frank_wolfe", False, ["--target", str(base), "--iters", "4"])]:
        first = None
        for threads, window in ((1, 1 << 20), (2, 4096), (3, 1024), (5, 9000), (7, 5000), (1, 1 << 20)):
            merge(work, method, needs_base, more, paths, base, work / "d.safetensors", "--threads", threads, "--window", window)
            found = (work / "d.safetensors").read_bytes()
            first = first or found
            expect(found == first, f"{method}: {threads} threads, window {window}: other bits")
    # Two models and equal weights: a + b is b + a. Other sums are in the order given, and what is added to a base is too.
    # Where a result comes from names the inputs in their order, and is left out.
    for method, needs_base in (("average", False), ("linear", False)):
        merge(work, method, needs_base, [], paths[:2], base, work / "ab.safetensors", "--no-provenance")
        merge(work, method, needs_base, [], paths[1::-1], base, work / "ba.safetensors", "--no-provenance")
        expect((work / "ab.safetensors").read_bytes() == (work / "ba.safetensors").read_bytes(), f"{method}: the order of two models")
    blobs = DATA / "watermark" / "fcm_blobs" / "X.npy"
    documents = work / "documents.jsonl"
    words = "kernel disk boot bread oven yeast river sail wind court judge violin bow".split()
    with documents.open("w") as out:
        for _ in range(80):
            sentences = ["Now " + " ".join(rng.choice(words, 6)) + "." for _ in range(8)]
            out.write(json.dumps({"sentences": sentences}) + "\n")
    (work / "gold.json").write_text(json.dumps([{"id": str(i), "conversations": [{"role": "assistant", "content":
        "Node:\n1: boil the water\n2: warm the pot\n3: pour it\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)"}]} for i in range(20)]))
    (work / "said.json").write_text(json.dumps([{"query": {}, "workflow":
        "Node:\n1: warm the pot\n2: pour it slowly\nEdge: (START,1) (1,2) (2,END)"}] * 20))
    commands = {
        "adapt": (["adapt", "init", "pissa_fast", base, "--target-pattern", ".*", "--rank", "4", "--seed", "1", "--residual", work / "residual.safetensors", "-o", work / "lora"],
                  [work / "lora" / "adapter_model.safetensors", work / "residual.safetensors"]),
        "cluster": (["cluster", "fit", blobs, "--clusters", "3", "--fuzzifier", "2", "--seed", "4", "-o", work / "c.npy"], [work / "c.npy"]),
        "watermark": (["watermark", "calibrate", documents, "--text-field", "sentences", "--fuzzifier", "1.02", "--seed", "1", "-o", work / "mark.safetensors"],
                      [work / "mark.safetensors"]),
        "worfeval": (["worfeval", "--gold", work / "gold.json", "--predicted", work / "said.json", "--embedder", "hashing"], []),
    }
    save(base, {"w.weight": load(base)["w"]})
    for pillar, (command, files) in commands.items():
        first = None
        for threads in (1, 2, 3, 5, 1):
            done = run(*command, "--threads", threads)
            found = [f.read_bytes() for f in files] + ([done.stdout] if not files else [])
            first = first or found
            expect(found == first, f"{pillar}: {threads} threads: other bits")


def main():
    rng = numpy.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        nan_and_infinity(work, rng)
        zeros_and_subnormals(work, rng)
        overflow(work)
        shapes_and_names(work)
        many_tensors(work)
        determinism(work, rng)


main()
