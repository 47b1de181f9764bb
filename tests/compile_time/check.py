#!/usr/bin/env python3
"""What each public header costs whoever includes it: processor seconds and peak memory of parsing it alone. Fails above
the budget in budget.txt. A header that is over is measured again, beside the reference, before it is believed: machines
change their pace."""
import concurrent.futures
import fnmatch
import os
import pathlib
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


def main():
    rows = budgets()
    headers = [str(h.relative_to(r)) for r in roots for h in r.rglob("*.hpp")]
    if not headers:
        sys.exit("compile_time: no header found")
    cost(reference)  # brings the compiler into memory
    unit, base = min(cost(reference) for _ in range(5))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        costs = dict(zip(headers, pool.map(lambda h: cost([h]), headers)))

    over = []
    print(f"{compiler}; <string> <vector> <span>: {unit:.2f} s, {base:.0f} MB")
    print(f"{'seconds':>8} {'times':>6} {'budget':>6} {'MB':>5} {'budget':>6}  header")
    for header in sorted(headers, key=lambda h: costs[h], reverse=True):
        _, times, megabytes = next(row for row in reversed(rows) if fnmatch.fnmatch(header, row[0]))
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
    print(f"compile_time: {len(headers)} headers, {len(over)} over budget")
    sys.exit(1 if over else 0)


try:
    main()
except RuntimeError as e:
    sys.exit(str(e))
