"""Links and pictures of README.md, docs/ and the tables of bench/ lead to files of the tree, and to headings that are there."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]


def prose(page):
    return re.sub(r"^\s*```.*?^\s*```", "", page.read_text(), flags=re.S | re.M)


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ +(.*?) *$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


pages = [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "bench").rglob("*.md"))]
taken, said = 0, []
for page in pages:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        taken += 1
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        if not found.exists():
            said.append(f"FAIL {page.relative_to(root)}: {target} is not there")
        elif anchor and anchor not in anchors(found):
            said.append(f"FAIL {page.relative_to(root)}: {target}: no such heading")
print(*said, f"links: {taken} of {len(pages)} pages, {len(said)} broken", sep="\n")
sys.exit(1 if said else 0)
