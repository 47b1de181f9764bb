#pragma once
/// \file  "Did you mean ...?" for names that are not known.
#include <lathe/config.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace reflect {

/// Insertions, deletions, substitutions and swaps of neighbours that turn a into b. O(|a| |b|) time.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before.swap(above);
        above.swap(row);
    }
    return above[b.size()];
}

/// The known name nearest to `word`, or nothing if none is near enough to be a slip: more than a third of its letters
/// differ and neither begins with the other. Where one begins with the other that counts as one letter; of equals the
/// one with fewer letters that differ, then the first.
inline std::string_view nearest(std::string_view word, std::span<std::string_view const> known) {
    std::string_view best;
    std::size_t distance = word.size() / 3 + 1, letters = 0;
    for (auto const name : known) {
        auto const differ = edit_distance(word, name);
        auto d = differ;
        if (word.size() > 2 && name.size() > 2 && (name.starts_with(word) || word.starts_with(name)))
            d = std::min<std::size_t>(d, 1);
        if (d < distance || (d == distance && (best.empty() || differ < letters))) {
            best = name;
            distance = d;
            letters = differ;
        }
    }
    return best;
}

/// What is known, for a message: "did you mean 'x'?" where a name is near, else "known: a, b, c".
inline std::string suggestion(std::string_view word, std::span<std::string_view const> known) {
    if (auto const name = nearest(word, known); !name.empty())
        return "did you mean '" + std::string{name} + "'?";
    if (known.empty())
        return "none is known";
    std::string all;
    for (auto const name : known)
        all.append(all.empty() ? "known: " : ", ").append(name);
    return all;
}

} // namespace reflect
LATHE_NAMESPACE_END
