#!/usr/bin/env python3
"""Writes headers of lathe, and all of lathe that they include, as one file:

    .packaging/single_header.py -o lathe-eigen.hpp lathe/backend/eigen.hpp lathe/lathe.hpp

Each header of ours comes once, before what needs it. Headers of others are included as they are, once."""
import argparse
import os
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[1]
folders = [root / "include", *sorted(root.glob("backends/*/include"))]
include = re.compile(r"\s*#\s*include\s*([<\"])([^>\"]+)[>\"]\s*(//.*)?$")
opening = re.compile(r"\s*#\s*if")
closing = re.compile(r"\s*#\s*endif\b")


class single_header:
    def __init__(self):
        self.lines = []
        self.taken = set()  # names in #include, ours and others'

    def add(self, name, asked_by="the command line"):
        if name in self.taken:
            return
        self.taken.add(name)
        path = next((f / name for f in folders if (f / name).is_file()), None)
        if path is None:
            sys.exit(f"single_header: {asked_by} asks for {name}, which is not in {', '.join(map(str, folders))}")
        inside = 0  # of how many #if
        body = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            inside += bool(opening.match(line)) - bool(closing.match(line))
            found = include.match(line)
            if line == "#pragma once":
                continue
            if found is None:
                body.append(line)
            elif found[2].startswith("lathe/"):
                if inside:
                    sys.exit(f"single_header: {path}:{number}: found {line.strip()} inside an #if, expected it outside")
                self.add(found[2], f"{name}:{number}")
            elif found[1] == '"':
                sys.exit(f'single_header: {path}:{number}: found {line.strip()}, expected <> around the name')
            elif inside:
                body.append(line)  # others may be absent on the other side of the #if: each keeps its own
            elif found[2] not in self.taken:
                self.taken.add(found[2])
                body.append(line)
        self.lines += [f"// ==== {name}", *body]


def version():
    found = dict(re.findall(r"#define LATHE_VERSION_(MAJOR|MINOR|PATCH) (\d+)", (root / "include/lathe/config.hpp").read_text()))
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCH"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("headers", nargs="+", help="as in #include, e.g. lathe/merge/ties.hpp")
    arguments.add_argument("-o", "--output", type=pathlib.Path, required=True)
    asked = arguments.parse_args()
    one = single_header()
    for header in asked.headers:
        one.add(header)
    text = "\n".join([
        f"// Lathe {version()}: {', '.join(asked.headers)} and what they include, in one file. Generated.",
        "// SPDX-License-Identifier: Apache-2.0",
        "#pragma once",
        "#ifdef LATHE_VERSION",
        f'#    error "{asked.output.name} holds what <lathe/...> does: include one or the other"',
        "#endif",
        *one.lines, ""])
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    beside = asked.output.with_name(asked.output.name + ".new")  # appears whole, or not at all
    beside.write_text(text)
    os.replace(beside, asked.output)


main()
