#!/usr/bin/env python3
"""Writes unicode.hpp: what BERT's normaliser does with each character, asked of Hugging Face's tokenizers.

    pip install tokenizers==0.23.3 && python3 unicode.py >unicode.hpp
"""
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

normalise, split = BertNormalizer(), BertPreTokenizer()
removed, punctuation, folds, expansions = [], [], [], []
for code in range(0x110000):
    if 0xD800 <= code < 0xE000 or 0xAC00 <= code < 0xD7A4:  # surrogates; Hangul syllables, which arithmetic takes apart
        continue
    character = chr(code)
    # Between two letters, so that nothing is trimmed. Ideographs come back with blanks around them.
    to = normalise.normalize_str("a" + character + "b")[1:-1]
    to = to.strip(" ") or to
    if to == "":
        removed.append(code)
    elif to != " " and len(to) == 1:
        if to != character:
            folds.append((code, ord(to)))
    elif to != " ":
        expansions.append((code, [ord(c) for c in to]))
    if to.strip() and len(split.pre_tokenize_str("a" + to + "b")) != 1 and to == character:
        punctuation.append(code)


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def runs(pairs):
    """[first, last, step, to, to_step] such that first + k * step becomes to + k * to_step."""
    found = []
    for code, to in pairs:
        if found:
            first, last, step, start, to_step = run = found[-1]
            n = (last - first) // step
            if n == 0 and code - last <= 2 and 0 <= to - start <= 2:
                run[1], run[2], run[4] = code, code - last, to - start
                continue
            if n != 0 and code == last + step and to == start + (n + 1) * to_step:
                run[1] = code
                continue
            if n == 1:  # two are no run
                found[-1:] = [[first, first, 1, start, 0], [last, last, 1, start + to_step, 0]]
        found.append([code, code, 1, to, 0])
    return found


def cell(x):
    if isinstance(x, (list, tuple)):
        return "{" + ", ".join(map(cell, x)) + "}"
    return f"{x:#x}" if x > 9 else str(x)


def table(what, declaration, rows):
    print(f"\n/// {what}\ninline constexpr {declaration} = {{\n    // clang-format off")
    line = "   "
    for row in rows:
        text = " " + cell(row) + ","
        if len(line) + len(text) > 118:
            print(line)
            line = "   "
        line += text
    print(line + "\n}; // clang-format on")


print("""#pragma once
// What BERT's normaliser (uncased) does with each character. Written by unicode.py.

namespace minilm::unicode {

struct range {
    char32_t first, last;
};
/// first + k * step becomes to + k * to_step.
struct run {
    char32_t first, last, step, to, to_step;
};
struct pair {
    char32_t from, to;
};
struct expansion {
    char32_t from, to[3];
};""")
table("Control characters, private use, and marks, which are what is left of accents.", "range removed[]", ranges(removed))
table("Each of these is a word by itself.", "range punctuation[]", ranges(punctuation))
found = runs(folds)
table("Capitals of scripts.", "run folds[]", [r for r in found if r[0] != r[1]])
table("Letters with accents, and other forms of a character.", "pair variants[]", [(r[0], r[3]) for r in found if r[0] == r[1]])
table("Letters that are taken apart.", "expansion expansions[]", expansions)
print("\n} // namespace minilm::unicode")
