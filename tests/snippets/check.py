#!/usr/bin/env python3
"""Every code block of README.md and docs/ is what it says: ```cpp blocks compile, and run if they have a main; ```sh
blocks marked runnable run. Comments on the line before a block say how to take it:

    <!-- fragment: NAME -->   the cpp block is part of a function, after tests/snippets/NAME; it is run
    <!-- run -->              the sh block is run, with the built programs on the PATH
    <!-- file: PATH -->       the block is that file of the tree, which is compiled elsewhere
    <!-- output -->           the text block is what the program or command before it prints
    <!-- needs: BACKEND -->   the cpp block is passed over in builds without that backend
    <!-- given: GLOB -->      (anywhere) copies files of the tree to where the blocks after it run

Blocks after <!-- newcomer: NAME --> are run by tests/newcomer/check.sh. The blocks of one page run in order, in one folder made for that page."""
import concurrent.futures
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
here = pathlib.Path(__file__).resolve().parent
work = pathlib.Path(os.environ.get("LATHE_WORK", root / "build/hygiene")) / "snippets"
build = pathlib.Path(os.environ.get("LATHE_BUILD", root / "build/release"))
backends = os.environ.get("LATHE_BACKENDS", "*").split()
includes = [root / "include", *(r for b in backends for r in sorted(root.glob(f"backends/{b}/include"))),
            build / "include", here]
compile_command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror",
                   *(f"-I{i}" for i in includes), "-isystem", os.environ.get("LATHE_EIGEN_INCLUDE", "/usr/include/eigen3")]
libraries = {"opencl": ["-DCL_TARGET_OPENCL_VERSION=120", "-lclblast", "-lOpenCL"]}
limit = 300  # seconds a block may take

marker = re.compile(r"^\s*<!--\s*(fragment|run|output|given|needs|file)\s*(?::\s*(.*?))?\s*-->\s*$")
fence = re.compile(r"^(\s*)```(\w*)\s*$")


class broken(Exception):
    pass


def blocks(page):
    """(line, language, marks, text) of each block, and (line, 'given', ..., glob) in between."""
    marks, lines = {}, enumerate(page.read_text().splitlines(), 1)
    for number, line in lines:
        if found := marker.match(line):
            if found[1] == "given":
                yield number, "given", {}, found[2]
            else:
                marks[found[1]] = found[2]
        elif found := fence.match(line):
            indent, text = len(found[1]), []
            for _, inner in lines:
                if fence.match(inner):
                    break
                text.append(inner[indent:])
            yield number, found[2], marks, "\n".join(text) + "\n"
            marks = {}
        elif line.strip():
            marks = {}


def run(command, folder):
    environment = dict(os.environ, PATH=f"{build / 'examples'}:{os.environ['PATH']}")
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise broken(f"still running after {limit} s") from None
    if done.returncode != 0:
        raise broken(f"exit status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def compiled(folder, name, marks, text):
    """Compiles a cpp block; what it prints, if it is a program."""
    if "fragment" in marks:
        headers = "".join(line + "\n" for line in text.splitlines() if line.startswith("#include"))
        body = "".join(line + "\n" for line in text.splitlines() if not line.startswith("#include"))
        text = f'{headers}#include <{marks["fragment"]}>\n\nint main() {{\n{body}}}\n'
    source = folder / f"{name}.cpp"
    source.write_text(text)
    if re.search(r"\bint main\(", text):
        run([*compile_command, str(source), "-o", str(folder / name), "-pthread",
             *libraries.get(marks.get("needs"), [])], folder)
        return run([str(folder / name)], folder)
    run([*compile_command, "-fsyntax-only", str(source)], folder)
    return None


def check(page):
    """Messages about one page, and how many blocks of it were taken."""
    folder = work / str(page.relative_to(root)).replace("/", "_")
    folder.mkdir(parents=True)
    said, taken, printed = [], 0, None
    for line, language, marks, text in blocks(page):
        place = f"{page.relative_to(root)}:{line}"
        try:
            if language == "given":
                files = glob.glob(str(root / text))
                if not files:
                    raise broken(f"no file matches {text}")
                for file in files:
                    (shutil.copytree if os.path.isdir(file) else shutil.copy)(file, folder / os.path.basename(file))
            elif "file" in marks:
                taken += 1
                if (root / marks["file"]).read_text() != text:
                    raise broken(f"this is not {marks['file']}")
            elif "needs" in marks and marks["needs"] not in backends and "*" not in backends:
                continue
            elif language == "cpp":
                taken += 1
                printed = compiled(folder, f"line_{line}", marks, text)
            elif "run" in marks:
                taken += 1
                printed = run(["bash", "-euo", "pipefail", "-c", text], folder)
            elif "output" in marks:
                taken += 1
                if printed is None or printed.strip() != text.strip():
                    raise broken(f"the block before it prints\n{printed}")
            elif marks:
                raise broken("only cpp, sh and text blocks are marked")
        except broken as e:
            said.append(f"FAIL {place}: {e}")
    return said, taken


def main():
    shutil.rmtree(work, ignore_errors=True)
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, pages))
    said = [m for messages, _ in results for m in messages]
    print(*said, sep="\n", end="\n" if said else "")
    print(f"snippets: {len(pages)} pages, {sum(taken for _, taken in results)} blocks, {len(said)} broken")
    sys.exit(1 if said else 0)


main()
