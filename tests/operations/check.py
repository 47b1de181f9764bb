#!/usr/bin/env python3
"""The example of a backend of one's own is short, and without any one of its operations the compiler names that operation in a few
lines, and nothing else."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
example = root / "examples/own_backend"
work = pathlib.Path(os.environ.get("LATHE_WORK", root / "build/hygiene")) / "operations"
named = os.environ.get("LATHE_COMPILERS")
compilers = named.split() if named else [c for c in ("g++", "clang++-19") if shutil.which(c)]
header = (example / "vector_backend.hpp").read_text()
operations = ["view", "allocate", "upload", "download", "sync"]
most_lines = 14  # of a diagnostic
most_code = 199  # lines of the example


def without(operation):
    """The header less the member of that name."""
    start = re.search(rf"^ *(?:template <[^>]*> )?[\w:<> *]+ {operation}\(", header, re.M).start()
    depth, at = 0, start
    while not (header[at] == "}" and depth == 1):
        depth += {"{": 1, "}": -1}.get(header[at], 0)
        at += 1
    return header[:start] + header[at + 2:]


def compile_with(compiler, folder):
    done = subprocess.run([compiler, "-std=c++20", f"-I{root}/include", "-fsyntax-only", "main.cpp"], cwd=folder,
                          capture_output=True, text=True)
    return done.returncode, done.stderr


def ask(job):
    compiler, operation = job
    folder = work / f"{compiler}-{operation}"
    shutil.copytree(example, folder)
    if operation:
        (folder / "vector_backend.hpp").write_text(without(operation))
    status, said = compile_with(compiler, folder)
    lines = said.splitlines()
    if not operation:
        return None if status == 0 and not lines else f"FAIL {compiler}: the example does not compile\n{said}"
    if status == 0:
        return f"FAIL {compiler}: it compiles without {operation}"
    if not re.search(rf"error: .*lathe: write `[^`]*\b{operation}\(", said) or len(lines) > most_lines:
        return f"FAIL {compiler}: without {operation}, {len(lines)} lines\n{said}"
    return None


def main():
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    code = sum(len(f.read_text().splitlines()) for f in example.iterdir() if f.suffix in (".hpp", ".cpp"))
    said = [f"FAIL the example has {code} lines, more than {most_code}"] if code > most_code else []
    jobs = [(c, o) for c in compilers for o in [*operations, ""]]
    if not jobs:
        sys.exit("operations: no compiler")
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("LATHE_JOBS", os.cpu_count()))) as pool:
        said += [m for m in pool.map(ask, jobs) if m]
    print(*said, sep="\n", end="\n" if said else "")
    print(f"operations: {len(operations)} left out in turn, with {' '.join(compilers)}; {len(said)} complaints")
    sys.exit(1 if said else 0)


main()
