#!/usr/bin/env python3
"""What each public header costs whoever includes it: processor seconds and peak memory of parsing it alone. Fails above
the budget in budget.txt. A header that is over is measured again, beside the reference, before it is believed: machines
change their pace. Fails also where the table of docs/compile-time.md lacks a header, has one that is gone, or has a figure
above the budget; the figures are those of the machine it was made on, by

    check.py --table              measures every header three times, in turn with the reference, and renews the table from
                                  the minima, after every round
    check.py --table HEADER...    the same for these headers; the others keep their figures, on the machine they have
"""
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
# A backend that was left out of the build cannot be looked at: its library is missing.
backends = os.environ.get("LATHE_BACKENDS", "*").split()
roots = [root / "include", *(r for b in backends for r in sorted(root.glob(f"backends/{b}/include")))]
compiler = os.environ.get("CXX", "g++")
flags = ["-std=c++20", "-fsyntax-only", *(f"-I{r}" for r in roots),
         "-isystem", os.environ.get("LATHE_EIGEN_INCLUDE", "/usr/include/eigen3"), "-x", "c++", "-"]
reference = ["string", "vector", "span"]
page = root / "docs/compile-time.md"
table_begin, table_end = "<!-- made by tests/compile_time/check.py --table -->\n", "<!-- end -->\n"
table_row = re.compile(r"^\| `(lathe/\S+)` \| ([\d.]+) \| [\d.]+ \| (\d+) \|", re.MULTILINE)


def cost(headers):
    """(seconds, MB) of a file that includes these headers and nothing else."""
    source = "".join(f"#include <{h}>\n" for h in headers)
    child = subprocess.Popen([compiler, *flags], stdin=subprocess.PIPE)
    child.stdin.write(source.encode())
    child.stdin.close()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"compile_time: {compiler} does not accept {', '.join(headers)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def budgets():
    rows = []
    for line in (root / "tests/compile_time/budget.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, times, megabytes = line.split()
            rows.append((pattern, float(times), float(megabytes)))
    return rows


def budget_of(header, rows):
    """(times, MB)"""
    return next(row[1:] for row in reversed(rows) if fnmatch.fnmatch(header, row[0]))


def all_headers():
    """Of every backend, there or not."""
    return {str(h.relative_to(r)) for r in [root / "include", *root.glob("backends/*/include")] for h in r.rglob("*.hpp")}


def table_figures():
    """The committed ones: (times, MB) by header."""
    return {header: (float(times), float(peak)) for header, times, peak in table_row.findall(page.read_text())}


def faults_of_table(rows):
    wanted, found = all_headers(), table_figures()
    said = [f"{h}: not in the table (check.py --table {h})" for h in sorted(wanted - found.keys())]
    said += [f"{h}: in the table, and no header" for h in sorted(found.keys() - wanted)]
    for header in sorted(wanted & found.keys()):
        times, megabytes = budget_of(header, rows)
        if found[header][0] > times or found[header][1] > megabytes:
            said.append(f"{header}: {found[header][0]} times and {found[header][1]:.0f} MB in the table, "
                        f"of {times} and {megabytes:.0f}")
    return said


def machine(unit, base):
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    models = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE) or ["unknown"]
    return (f"On {models[0]} ({len(models)} cores), with {version}: `<string>`, `<vector>` and `<span>` take {unit:.2f} s and "
            f"{base:.0f} MB.\n")


def write_table(headers, rows, whole):
    kept = {h: figures for h, figures in table_figures().items() if h in all_headers() and h not in headers}
    best, unit = {h: (float("inf"), float("inf")) for h in headers}, float("inf")
    base = cost(reference)[1]
    for _ in range(3):
        before = cost(reference)[0]
        for header in headers:
            seconds, peak = cost([header])
            after = cost(reference)[0]
            best[header] = min(best[header][0], seconds / min(before, after)), min(best[header][1], peak)
            before, unit = after, min(unit, after)
        old = page.read_text()
        start, end = old.index(table_begin) + len(table_begin), old.index(table_end)
        head = machine(unit, base) if whole else old[start:end].lstrip().partition("\n")[0] + "\n"
        figures, text = kept | best, "\n" + head
        for folder in sorted({h.rpartition("/")[0] for h in figures}):
            text += f"\n| `{folder}/` | times | budget | MB | budget |\n|---|---|---|---|---|\n"
            for header in sorted(h for h in figures if h.rpartition("/")[0] == folder):
                times, megabytes = budget_of(header, rows)
                text += f"| `{header}` | {figures[header][0]:.1f} | {times:g} | {figures[header][1]:.0f} | {megabytes:g} |\n"
        page.write_text(old[:start] + text + "\n" + old[end:])


def main():
    rows = budgets()
    headers = [str(h.relative_to(r)) for r in roots for h in r.rglob("*.hpp")]
    if not headers:
        sys.exit("compile_time: no header found")
    cost(reference)  # brings the compiler into memory
    if sys.argv[1:2] == ["--table"]:
        write_table(sys.argv[2:] or headers, rows, whole=not sys.argv[2:])
        said = faults_of_table(rows)
        sys.exit("\n".join(said) if said else 0)
    unit, base = min(cost(reference) for _ in range(5))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        costs = dict(zip(headers, pool.map(lambda h: cost([h]), headers)))

    over = []
    print(f"{compiler}; <string> <vector> <span>: {unit:.2f} s, {base:.0f} MB")
    print(f"{'seconds':>8} {'times':>6} {'budget':>6} {'MB':>5} {'budget':>6}  header")
    for header in sorted(headers, key=lambda h: costs[h], reverse=True):
        times, megabytes = budget_of(header, rows)
        seconds, peak = costs[header]
        factor = seconds / unit
        for _ in range(6):
            if factor > times:
                before, again, after = cost(reference)[0], cost([header])[0], cost(reference)[0]
                factor = min(factor, again / min(before, after))
        late = factor > times or peak > megabytes
        over += [header] * late
        print(f"{seconds:8.2f} {factor:6.1f} {times:6.1f} {peak:5.0f} {megabytes:6.0f}  {header}"
              f"{'   OVER BUDGET' if late else ''}")
    said = faults_of_table(rows)
    print(*(f"docs/compile-time.md: {line}" for line in said), sep="\n", end="\n" if said else "")
    print(f"compile_time: {len(headers)} headers, {len(over)} over budget; the table has {len(said)} faults")
    sys.exit(1 if over or said else 0)


try:
    main()
except RuntimeError as e:
    sys.exit(str(e))
