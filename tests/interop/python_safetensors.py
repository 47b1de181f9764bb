#!/usr/bin/env python3
"""Lathe against the real Python safetensors library, in both directions and to the byte.

    python_safetensors.py PROGRAM        PROGRAM is safetensors_dump; or name it in LATHE_SAFETENSORS_DUMP

Exits 0 if all agrees, 1 at the first difference, 77 (skipped) only where the library cannot be imported."""
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as error:
    print(f"SKIPPED: nothing was compared with the Python library: {error}", file=sys.stderr)
    sys.exit(77)

# The library's names of the types, and the format's, with their sizes.
TYPES = {"float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int64": ("I64", 8),
         "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1), "uint64": ("U64", 8), "uint32": ("U32", 4),
         "uint16": ("U16", 2), "uint8": ("U8", 1), "bool": ("BOOL", 1), "float8_e4m3fn": ("F8_E4M3", 1),
         "float8_e5m2": ("F8_E5M2", 1)}


def serialize(tensors, metadata=None):
    """The library's own writer, on raw bytes: {name: (type, shape, bytes)}."""
    if not hasattr(safetensors, "TensorSpec"):  # before 0.8
        return bytes(safetensors.serialize({n: {"dtype": t, "shape": list(s), "data": d} for n, (t, s, d) in tensors.items()},
                                           metadata=metadata))
    arrays = {n: numpy.frombuffer(d, dtype=numpy.uint8) if d else numpy.zeros(0, numpy.uint8) for n, (t, s, d) in tensors.items()}
    return bytes(safetensors.serialize({n: safetensors.TensorSpec(dtype=t, shape=s, data_ptr=arrays[n].ctypes.data, data_len=len(d))
                                        for n, (t, s, d) in tensors.items()}, metadata=metadata))


def deserialize(data):
    """{name: (format's type, shape, bytes)} as the library reads it."""
    return {n: (v["dtype"], tuple(v["shape"]), bytes(v["data"])) for n, v in safetensors.deserialize(data)}


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return h


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"FAILED: {what}\n  found    {str(found)[:2000]}\n  expected {str(expected)[:2000]}")
    expect.count += 1


expect.count = 0


class Lathe:
    def __init__(self, program):
        self.program = program

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"FAILED: {self.program} {arguments}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()


def everything(generator):
    """Every type as a scalar, empty, odd and in three dimensions; names that sort differently by number, case and script."""
    tensors = {}
    for name, (_, size) in TYPES.items():
        for prefix, shape in (("z", (3,)), ("a.10", ()), ("a.2", (2, 3, 5)), ("E", (0, 4)), ("ünï \"\\\n\x01\x7f \u2028\U0001f600", (1,))):
            count = int(numpy.prod(shape))
            data = generator.randbytes(count * size)
            tensors[f"{prefix}.{name}"] = (name, shape, bytes(b & 1 for b in data) if name == "bool" else data)
    names = list(tensors)
    generator.shuffle(names)
    return {n: tensors[n] for n in names}


def in_format(tensors):
    return {n: (TYPES[t][0], tuple(s), d) for n, (t, s, d) in tensors.items()}


def check_dump(lathe, path, tensors, metadata, what):
    expected = {"metadata": metadata, "tensors": {n: {"dtype": TYPES[t][0], "shape": list(s), "fnv": fnv(d)} for n, (t, s, d) in tensors.items()}}
    for access in ("map", "block"):
        expect(json.loads(lathe.run("dump", path, access)), expected, f"{what}, read by {access}")


def raw_files(lathe, folder):
    tensors = everything(random.Random(1))
    for metadata in (None, {"format": "pt"}, {"b": "2", "a": "1\n\"é\"", "": "x"}):
        theirs = folder / "theirs.safetensors"
        theirs.write_bytes(serialize(tensors, metadata))
        check_dump(lathe, theirs, tensors, metadata or {}, "a file of the library")

        ours = folder / "ours.safetensors"
        lathe.run("copy", theirs, ours, 0)
        if metadata is None or len(metadata) < 2:  # the library writes more entries in an order that changes from run to run
            expect(ours.read_bytes(), theirs.read_bytes(), "bytes of a file of ours")
        expect(deserialize(ours.read_bytes()), in_format(tensors), "a file of ours read by the library")
        with safetensors.safe_open(ours, "np") as opened:
            expect(opened.metadata(), metadata, "metadata of a file of ours")
            expect(set(opened.keys()), set(tensors), "names of a file of ours")

        for size in (1, 40, 200, 10**9):
            check_shards(lathe, folder, theirs, tensors, metadata, size)

    empty = folder / "empty.safetensors"
    empty.write_bytes(serialize({}))
    lathe.run("copy", empty, folder / "empty_copy.safetensors", 0)
    expect((folder / "empty_copy.safetensors").read_bytes(), empty.read_bytes(), "bytes of a file without tensors")


def check_shards(lathe, folder, source, tensors, metadata, size):
    target = folder / f"set{size}"
    lathe.run("copy", source, f"{target}/", size)
    index = target / "model.safetensors.index.json"
    if size == 10**9:
        expect(sorted(os.listdir(target)), ["model.safetensors"], "files of a set that needs no shards")
        return
    index = json.loads(index.read_text())
    shards = sorted(set(index["weight_map"].values()))
    expect(shards, [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))], "names of shards")
    expect(sorted(os.listdir(target)), [*shards, "model.safetensors.index.json"], "files of a set")
    expect(index["metadata"]["total_size"], sum(len(d) for _, _, d in tensors.values()), "total_size")
    read = {}
    for shard in shards:
        members = {n: tensors[n] for n, file in index["weight_map"].items() if file == shard}
        data = (target / shard).read_bytes()
        found = deserialize(data)
        expect(found, in_format(members), f"shard {shard} read by the library")
        if metadata is None or len(metadata) < 2:
            expect(data, serialize(members, metadata), f"bytes of shard {shard}")
        total = sum(len(d) for _, _, d in members.values())
        expect(total <= size or sum(len(d) != 0 for _, _, d in members.values()) == 1, True, f"size of shard {shard}, {total}")
        read.update(found)
    expect(read, in_format(tensors), "a sharded set of ours read by the library")
    check_dump(lathe, target, tensors, metadata or {}, "a sharded set of ours")


def numpy_arrays(lathe, folder):
    """The library's own functions, as people call them, both ways; with bfloat16 where ml_dtypes knows it."""
    generator = numpy.random.default_rng(2)
    arrays = {f"layer.{i}.{t}": generator.integers(0, 100, size=(i, 7 - i)).astype(t) for i in range(4)
              for t in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")}
    theirs, ours = folder / "np.safetensors", folder / "np_ours.safetensors"
    safetensors.numpy.save_file(arrays, theirs)
    lathe.run("copy", theirs, ours, 0)
    expect(ours.read_bytes(), theirs.read_bytes(), "bytes of a file of numpy arrays")
    loaded = safetensors.numpy.load_file(ours)
    expect(set(loaded), set(arrays), "names of numpy arrays")
    for name, array in arrays.items():
        expect((loaded[name].dtype, loaded[name].shape, loaded[name].tobytes()), (array.dtype, array.shape, array.tobytes()), name)

    try:
        import ml_dtypes
    except ImportError:
        print("note: ml_dtypes is not there; bfloat16 was compared as raw bytes only")
        return
    half = {"w": numpy.linspace(-3, 3, 50, dtype=numpy.float32).astype(ml_dtypes.bfloat16)}
    theirs.write_bytes(safetensors.numpy.save(half))
    lathe.run("copy", theirs, ours, 0)
    expect(deserialize(ours.read_bytes()), {"w": ("BF16", (50,), half["w"].tobytes())}, "bfloat16 array")


def verdicts(lathe, folder):
    """Damaged headers: what the library refuses is refused. Where Lathe refuses more, it is one of the rules it adds."""
    generator = random.Random(3)
    source = serialize({"w": ("float32", (2, 2), b"0" * 16), "é": ("uint8", (3,), b"123"), "n": ("int64", (), b"8" * 8)}, {"format": "pt"})
    length = struct.unpack("<Q", source[:8])[0]
    header, data = source[8:8 + length].decode(), source[8 + length:]
    alphabet = '{}[]",:0123456789-.eEtrufalsn\\ FIU\0é'
    texts = []
    for _ in range(20000):
        text = header
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(len(text))
            match generator.randrange(4):
                case 0: text = text[:at] + generator.choice(alphabet) + text[at + 1:]
                case 1: text = text[:at] + generator.choice(alphabet) + text[at:]
                case 2: text = text[:at] + text[at + generator.randint(1, 6):]
                case 3: text = text[:at] + text[at:at + 30] + text[at:]
        texts.append(text.encode())
    texts += [t.encode() for t in (header, header + "\n\t ", header.replace('"F32"', '"F32","later":[{"x":null}]'), ' ' + header,
                                   header.replace('{"format":"pt"}', "null"), header.replace('"pt"', '"pt","format":"pt"'),
                                   header.replace('{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}', '["F32",[2,2],[8,24]]'))]
    records = folder / "headers"
    records.write_bytes(b"".join(struct.pack("<QQ", len(data), len(t)) + t for t in texts))
    found = lathe.run("verdicts", records).splitlines()
    expect(len(found), len(texts), "one verdict for each header")
    stricter = accepted = 0
    for text, verdict in zip(texts, found):
        try:
            safetensors.deserialize(struct.pack("<Q", len(text)) + text + data)
            valid = True
        except safetensors.SafetensorError:
            valid = False
        if verdict == "ok":
            accepted += 1
            expect(valid, True, f"the library's verdict on {text}, which Lathe accepts")
        elif valid:
            added = ("an object, '{' first", "twice", "expected an object", "is not supported", "UTF-8", "JSON: parse error")
            expect(any(rule in verdict for rule in added), True, f"a rule the library does not have: {verdict} on {text}")
            stricter += 1
    expect(stricter >= 4, True, f"headers refused by added rules alone ({stricter})")
    expect(accepted > 200, True, f"damaged headers that stay valid ({accepted})")
    print(f"{len(texts)} damaged headers: {accepted} accepted by both, {stricter} refused by Lathe's added rules only")


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LATHE_SAFETENSORS_DUMP", "")
    if not pathlib.Path(program).is_file():
        sys.exit(f"usage: {sys.argv[0]} PROGRAM (there is no '{program}')")
    lathe = Lathe(program)
    with tempfile.TemporaryDirectory() as folder:
        for test in (raw_files, numpy_arrays, verdicts):
            part = pathlib.Path(folder) / test.__name__
            part.mkdir()
            test(lathe, part)
    print(f"safetensors {safetensors.__version__}, numpy {numpy.__version__}: {expect.count} comparisons agree")


if __name__ == "__main__":
    main()
