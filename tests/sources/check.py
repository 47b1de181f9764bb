#!/usr/bin/env python3
"""Our own sources are accepted, without a warning, by the compiler that does not build them. Takes the commands of the
build (compile_commands.json), asks the other compiler, and stops it before it makes code."""
import concurrent.futures
import itertools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(os.environ.get("LATHE_BUILD", root / "build/release"))


def others():
    """The compilers that have to agree, less the one that builds."""
    wanted = os.environ.get("LATHE_COMPILERS")
    names = wanted.split() if wanted else [c for c in ("g++", "clang++-19") if shutil.which(c)]
    builder = os.path.realpath(shutil.which(os.environ.get("CXX", "g++")))
    return [c for c in names if os.path.realpath(shutil.which(c) or c) != builder]


def command_for(compiler, entry):
    words = shlex.split(entry["command"])
    while not words[0].startswith("-"):  # the launcher and the compiler
        words.pop(0)
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT"):
            skip = True
        elif word not in ("-MD", "-c"):
            kept.append(word)
    # The build may silence warnings that only its own compiler has; g++ passes over such options by itself.
    unknown = ["-Wno-unknown-warning-option"] if "clang" in compiler else []
    return [compiler, *kept, *unknown, "-fsyntax-only"]


def ask(job):
    compiler, entry = job
    done = subprocess.run(command_for(compiler, entry), cwd=entry["directory"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode == 0 and not done.stderr:
        return None
    return f"FAIL {compiler} {os.path.relpath(entry['file'], root)}\n{done.stderr}"


def main():
    commands = build / "compile_commands.json"
    if not commands.exists():
        sys.exit(f"sources: {commands} is missing; configure with a preset")
    # A source that is built once for each backend is asked once. Unit tests may be built with sanitizers alone.
    sanitized = build.parent / "asan/compile_commands.json"
    lists = [json.loads(c.read_text()) for c in (sanitized, commands) if c.exists()]
    entries = {e["file"]: e for e in itertools.chain(*lists) if e["file"].startswith(f"{root}/")}
    jobs = [(c, e) for c in others() for e in entries.values() if not e["file"].startswith(f"{root}/build/")]
    if not jobs:
        sys.exit("sources: no source, or no second compiler")
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("LATHE_JOBS", os.cpu_count()))) as pool:
        said = [m for m in pool.map(ask, jobs) if m]
    print(*said, sep="\n", end="\n" if said else "")
    print(f"sources: {len(jobs)} accepted by {' '.join(others())}, less {len(said)}")
    sys.exit(1 if said else 0)


main()
