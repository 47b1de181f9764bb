#!/usr/bin/env python3
"""Our own sources are accepted, without a warning, by every compiler: takes the commands of the builds
(compile_commands.json) and asks the compilers that did not build them, stopping them before they make code. They are asked
about each source by itself, also where the build compiles several together."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(os.environ.get("LATHE_BUILD", root / "build/release"))


def compilers():
    wanted = os.environ.get("LATHE_COMPILERS")
    return wanted.split() if wanted else [c for c in ("g++", "clang++-19") if shutil.which(c)]


def program(name):
    """The file behind the name of a compiler."""
    return os.path.realpath(shutil.which(name) or name)


def commands_of(folder):
    """source -> (its command, the compiler of it) of a build folder. Of sources that are compiled together, each by itself."""
    file = folder / "compile_commands.json"
    found = {}
    for entry in json.loads(file.read_text()) if file.exists() else []:
        words = shlex.split(entry["command"])
        builder = program(next(w for w in words if "ccache" not in w))
        source = pathlib.Path(entry["file"])
        together = source.is_relative_to(root / "build") and source.name.startswith("unity_")
        sources = re.findall(r'#include "(/.*)"', source.read_text()) if together else [entry["file"]]
        for s in sources:
            if s.startswith(f"{root}/") and not s.startswith(f"{root}/build/"):
                found[s] = ({**entry, "words": [s if w == entry["file"] else w for w in words]}, builder)
    return found


def command_for(compiler, entry):
    words = list(entry["words"])
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
    compiler, source, entry = job
    done = subprocess.run(command_for(compiler, entry), cwd=entry["directory"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode == 0 and not done.stderr:
        return None
    return f"FAIL {compiler} {os.path.relpath(source, root)}\n{done.stderr}"


def main():
    if not (build / "compile_commands.json").exists():
        sys.exit(f"sources: {build}/compile_commands.json is missing; configure with a preset")
    # Unit tests may be built with sanitizers alone. A source that is built once for each backend is asked once.
    jobs = {}
    built = set()
    for folder in (build.parent / "asan", build):
        for source, (entry, builder) in commands_of(folder).items():
            built.add((builder, source))
            for compiler in compilers():
                jobs[compiler, source] = entry
    jobs = [(c, s, e) for (c, s), e in jobs.items() if (program(c), s) not in built]
    if not jobs:
        sys.exit("sources: no source, or no second compiler")
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("LATHE_JOBS", os.cpu_count()))) as pool:
        said = [m for m in pool.map(ask, jobs) if m]
    print(*said, sep="\n", end="\n" if said else "")
    for compiler in compilers():
        print(f"sources: {compiler} was asked about {sum(c == compiler for c, _, _ in jobs)}")
    print(f"sources: {len(jobs) - len(said)} accepted, {len(said)} not")
    sys.exit(1 if said else 0)


main()
