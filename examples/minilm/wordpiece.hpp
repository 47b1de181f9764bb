#pragma once
// Texts to the numbers of BERT's vocabulary, as Hugging Face's BertTokenizer (uncased) makes them.
#include "unicode.hpp"

#include <lathe/core/error.hpp>
#include <lathe/core/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <unordered_map>
#include <vector>

namespace minilm {

using token = std::uint32_t;

namespace unicode {

/// The entry of a table that `c` lies in, or null.
template <std::size_t N> constexpr range const * find(range const (&table)[N], char32_t c) {
    auto const at = std::ranges::lower_bound(table, c, {}, &range::last);
    return at != std::end(table) && at->first <= c ? at : nullptr;
}
constexpr bool is_space(char32_t c) {
    return c == U' ' || c == U'\t' || c == U'\n' || c == U'\r' || c == 0xa0 || c == 0x1680
           || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}
/// As BERT has it: the blocks of Chinese characters, which Korean and kana are not among.
constexpr bool is_ideograph(char32_t c) {
    constexpr range blocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                                {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return find(blocks, c) != nullptr;
}
/// Small, and without accents: calls f on what c becomes, up to three characters, or none.
template <class F> void fold(char32_t c, F && f) {
    if (c < 0x80 && c >= 0x20 && c != 0x7f)
        return f(c >= U'A' && c <= U'Z' ? c + (U'a' - U'A') : c);
    if (find(removed, c) != nullptr)
        return;
    if (c >= 0xac00 && c <= 0xd7a3) { // a Hangul syllable: two or three letters
        auto const s = c - 0xac00;
        f(0x1100 + s / 588);
        f(0x1161 + s % 588 / 28);
        if (s % 28 != 0)
            f(0x11a7 + s % 28);
        return;
    }
    if (auto const * const at = std::ranges::lower_bound(variants, c, {}, &pair::from);
        at != std::end(variants) && at->from == c)
        return f(at->to);
    // A run of every other character may overlap the next.
    for (auto const * at = std::ranges::lower_bound(folds, c, {}, &run::last); at != std::end(folds) && at->first <= c;
         ++at)
        if ((c - at->first) % at->step == 0)
            return f(at->to + (c - at->first) / at->step * at->to_step);
    if (auto const * const at = std::ranges::lower_bound(expansions, c, {}, &expansion::from);
        at != std::end(expansions) && at->from == c) {
        for (auto const to : at->to)
            if (to != 0)
                f(to);
        return;
    }
    f(c);
}
inline void append(std::string & text, char32_t c) {
    auto const add = [&](char32_t byte) { text.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (c < 0x80)
        return add(c);
    if (c >= 0x800) {
        if (c >= 0x10000) {
            add(0xf0 | c >> 18);
            add(0x80 | (c >> 12 & 0x3f));
        } else
            add(0xe0 | c >> 12);
        add(0x80 | (c >> 6 & 0x3f));
    } else
        add(0xc0 | c >> 6);
    add(0x80 | (c & 0x3f));
}

} // namespace unicode

/// Calls f(word, characters) on the words of a text: folded runs between blanks; punctuation and ideographs alone.
/// Bytes that are not UTF-8, control characters and U+FFFD vanish.
template <class F> void for_each_word(std::string_view text, F && f) {
    std::string word;
    std::size_t characters = 0;
    auto const end_word = [&] {
        if (characters != 0)
            f(std::string_view{word}, characters);
        word.clear();
        characters = 0;
    };
    while (!text.empty()) {
        auto const [code, length] = lathe::first_character(text);
        text.remove_prefix(length);
        if (code == lathe::utf8_character::invalid || code == 0xfffd)
            continue;
        bool const ideograph = unicode::is_ideograph(code);
        if (ideograph || unicode::is_space(code))
            end_word();
        if (unicode::is_space(code))
            continue;
        unicode::fold(code, [&](char32_t c) {
            bool const alone = unicode::find(unicode::punctuation, c) != nullptr;
            if (alone)
                end_word();
            unicode::append(word, c);
            ++characters;
            if (alone)
                end_word();
        });
        if (ideograph)
            end_word();
    }
    end_word();
}

/// A vocabulary, and how texts are cut by it: a word into the longest pieces that the vocabulary has, from the left; a
/// word that cannot be, or has over 100 characters, is one unknown token.
class wordpiece {
    struct hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using pieces = std::unordered_map<std::string, token, hash, std::equal_to<>>;
    static constexpr std::array<std::string_view, 5> special = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};

    pieces first_, later_; // later_: without the ## that says so
    std::size_t longest_ = 0;
    std::array<token, special.size()> special_{};

    void cut(std::string_view word, std::vector<token> & to) const {
        auto const before = to.size();
        for (auto const * piece = &first_; !word.empty(); piece = &later_) {
            auto length = std::min(longest_, word.size());
            auto at = piece->end();
            while (length != 0 && (at = piece->find(word.substr(0, length))) == piece->end())
                --length;
            if (length == 0) {
                to.resize(before);
                to.push_back(special_[2]);
                return;
            }
            to.push_back(at->second);
            word.remove_prefix(length);
        }
    }

public:
    static constexpr std::size_t longest_word = 100;

    /// Reads a vocabulary, a token a line. \throws lathe::io_error, lathe::format_error
    explicit wordpiece(std::string const & path) {
        std::ifstream file(path);
        if (!file)
            throw lathe::io_error{path + ": cannot be opened"};
        token number = 0;
        for (std::string line; std::getline(file, line); ++number) {
            if (line.ends_with('\r'))
                line.pop_back();
            bool const later = line.starts_with("##") && line.size() > 2;
            longest_ = std::max(longest_, line.size());
            (later ? later_ : first_).insert_or_assign(later ? line.substr(2) : line, number);
        }
        for (std::size_t i = 0; i != special.size(); ++i) {
            auto const at = first_.find(special[i]);
            if (at == first_.end())
                throw lathe::format_error{path + ": no token " + std::string{special[i]}};
            special_[i] = at->second;
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return first_.size() + later_.size(); }

    /// [CLS], the text, [SEP]: at most `most` tokens, at least 2, of which the last is [SEP]. Special tokens that are
    /// written out in the text are those tokens. O(bytes * longest token)
    [[nodiscard]] std::vector<token> operator()(std::string_view text, std::size_t most = 256) const {
        lathe::expects_option(most >= 2, "tokens", std::to_string(most), "at least 2");
        std::vector<token> tokens{special_[0]};
        while (!text.empty() && tokens.size() < most) {
            std::size_t at = text.size(), which = special.size();
            for (auto from = text.find('['); which == special.size() && from != text.npos;
                 from = text.find('[', from + 1))
                for (std::size_t i = 0; i != special.size(); ++i)
                    if (text.substr(from).starts_with(special[i])) {
                        at = from;
                        which = i;
                    }
            for_each_word(text.substr(0, at), [&](std::string_view word, std::size_t characters) {
                if (characters > longest_word)
                    tokens.push_back(special_[2]);
                else if (tokens.size() < most)
                    cut(word, tokens);
            });
            text.remove_prefix(at);
            if (which != special.size()) {
                tokens.push_back(special_[which]);
                text.remove_prefix(special[which].size());
            }
        }
        tokens.resize(std::min(tokens.size(), most - 1));
        tokens.push_back(special_[1]);
        return tokens;
    }
};

} // namespace minilm
