#pragma once
/// \file  The header of a safetensors file: reading it from hostile bytes, and laying out a file to be written.
///
/// u64 little-endian length H; H bytes of JSON {name: {dtype, shape, data_offsets: [begin, end)}, "__metadata__":
/// {text: text}}; then the data, which the tensors tile without hole or overlap.
#include <lathe/core/checkpoint.hpp>
#include <lathe/io/json.hpp>

#include <array>
#include <bit>

LATHE_NAMESPACE_BEGIN
namespace io {

static_assert(std::endian::native == std::endian::little, "lathe/io: safetensors files are little-endian");

/// Bounds no real file comes near; they keep what a header can cost in proportion.
struct safetensors_limits {
    static constexpr std::uint64_t header_bytes = 100'000'000;   ///< of the format's definition
    static constexpr std::size_t tensors = std::size_t{1} << 20; ///< of one header
    static constexpr std::size_t rank = 64;                      ///< numpy's limit
};

/// What a header says.
struct safetensors_header {
    std::vector<tensor_info> tensors;            ///< in ascending order of the bytes of their names
    std::vector<std::uint64_t> offsets;          ///< of each in the data section
    std::map<std::string, std::string> metadata; ///< `__metadata__`
};

/// The length H that the first eight bytes announce. \throws format_error if the file cannot hold it
inline std::uint64_t header_length(std::span<std::byte const> first, std::uint64_t file_size, std::string_view label) {
    if (first.size() < 8 || file_size < 8)
        reject(label, "file length", std::to_string(std::min<std::uint64_t>(first.size(), file_size)) + " bytes",
               "at least 8, the length of the header");
    std::uint64_t length = 0;
    std::memcpy(&length, first.data(), 8);
    if (length > safetensors_limits::header_bytes)
        reject(label, "header length", std::to_string(length) + " bytes",
               "at most " + std::to_string(safetensors_limits::header_bytes));
    if (length > file_size - 8)
        reject(label, "header length", std::to_string(length) + " bytes",
               "at most " + std::to_string(file_size - 8) + ", what the file holds after the first 8");
    return length;
}

/// Collects the entries of a header and holds each against the rules that concern it alone.
class header_reader final : public json_events {
    enum class field : unsigned char { dtype, shape, data_offsets, unknown };
    static constexpr std::array<std::string_view, 3> field_names{"dtype", "shape", "data_offsets"};

    struct entry {
        tensor_info info;
        std::uint64_t begin = 0, end = 0;
    };
    std::uint64_t data_size_;
    std::vector<entry> entries_;
    std::map<std::string, std::string> metadata_;
    bool metadata_seen_ = false, in_metadata_ = false;
    std::string key_;              ///< of the metadata being read
    field field_ = field::unknown; ///< being read
    std::array<bool, 3> seen_{};   ///< fields of the current tensor
    std::size_t offsets_ = 0;      ///< numbers read of data_offsets

    [[nodiscard]] entry & current() noexcept { return entries_.back(); }
    static std::string tensor(std::string_view name) { return "tensor '" + printable(name) + "'"; }
    [[noreturn]] void reject_field(std::string const & found, std::string_view expected) {
        reject(label_, tensor(current().info.name) + ": " + std::string{field_names[static_cast<std::size_t>(field_)]},
               found, expected);
    }
    /// A value where the format has another kind.
    void expect_kind(std::string const & found) {
        if (depth() == 1)
            reject(label_, in_metadata_ ? "__metadata__" : tensor(current().info.name), found, "an object");
        if (in_metadata_)
            reject(label_, "__metadata__ '" + printable(key_) + "'", found, "a string");
        switch (field_) {
        case field::dtype: reject_field(found, "a string");
        case field::shape: reject_field(found, depth() == 2 ? "an array" : "non-negative integers below 2^64");
        case field::data_offsets: reject_field(found, depth() == 2 ? "an array" : "non-negative integers below 2^64");
        case field::unknown: break; // fields of later versions of the format
        }
    }

    void on_key(std::string & name) override {
        if (depth() == 1) {
            in_metadata_ = name == "__metadata__";
            if (in_metadata_) {
                if (std::exchange(metadata_seen_, true))
                    reject(label_, "names", "__metadata__ twice", "each name once");
                return;
            }
            if (entries_.size() == safetensors_limits::tensors)
                reject(label_, "number of tensors", "more", "at most " + std::to_string(safetensors_limits::tensors));
            entries_.push_back({{std::move(name), {}, {}}, 0, 0});
            seen_ = {};
            offsets_ = 0;
        } else if (in_metadata_) {
            key_ = std::move(name);
        } else {
            field_ = static_cast<field>(std::ranges::find(field_names, name) - field_names.begin());
            if (field_ != field::unknown && std::exchange(seen_[static_cast<std::size_t>(field_)], true))
                reject_field("the field twice", "each field once");
        }
    }
    bool on_open(std::string_view kind) override {
        if (depth() == 1)
            return true;
        if (depth() == 2 && kind == "object")
            return true;
        if (depth() == 3 && !in_metadata_ && field_ == field::unknown)
            return false;
        if (depth() == 3 && !in_metadata_ && field_ != field::dtype && kind == "array")
            return true;
        wrong_container(kind);
    }
    [[noreturn]] void wrong_container(std::string_view kind) {
        auto const found = "an " + std::string{kind};
        if (depth() == 2)
            reject(label_, in_metadata_ ? "__metadata__" : tensor(current().info.name), found, "an object");
        if (in_metadata_)
            reject(label_, "__metadata__ '" + printable(key_) + "'", found, "a string");
        reject_field(found, field_ == field::dtype ? "a string"
                            : depth() == 3         ? "an array"
                                                   : "non-negative integers below 2^64");
    }
    void on_string(std::string & text) override {
        if (depth() == 2 && in_metadata_) {
            if (!metadata_.emplace(key_, std::move(text)).second)
                reject(label_, "__metadata__", "'" + printable(key_) + "' twice", "each key once");
        } else if (depth() == 2 && field_ == field::dtype) {
            read_dtype(text);
        } else {
            expect_kind("the string '" + printable(text) + "'");
        }
    }
    void on_unsigned(std::uint64_t n) override {
        if (depth() != 3)
            expect_kind(std::to_string(n));
        else if (field_ == field::shape) {
            if (current().info.extents.size() == safetensors_limits::rank)
                reject_field("more extents", "at most " + std::to_string(safetensors_limits::rank));
            current().info.extents.push_back(n);
        } else {
            if (offsets_ == 2)
                reject_field("more numbers", "two, begin and end");
            (offsets_++ == 0 ? current().begin : current().end) = n;
        }
    }
    void on_other(std::string_view kind, std::string const & written) override {
        expect_kind(kind == written ? written : std::string{kind} + ' ' + printable(written));
    }
    void on_close() override {
        if (depth() == 1 && !in_metadata_)
            check_entry();
    }

    void read_dtype(std::string const & name) {
        if (auto const known = dtype_named(name)) {
            current().info.type = *known;
            return;
        }
        std::string expected;
        for (auto const & d : dtypes::table)
            expected.append(expected.empty() ? "" : ", ").append(d.name);
        constexpr std::array<std::string_view, 7> later{"F4",          "F6_E2M3",     "F6_E3M2", "F8_E8M0",
                                                        "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};
        bool const unsupported = std::ranges::find(later, name) != later.end();
        reject_field("'" + printable(name) + (unsupported ? "', which is not supported" : "'"), "one of " + expected);
    }
    void check_entry() {
        auto const & [info, begin, end] = current();
        for (std::size_t i = 0; i != field_names.size(); ++i)
            if (!seen_[i])
                reject(label_, tensor(info.name), "no " + std::string{field_names[i]}, "dtype, shape and data_offsets");
        field_ = field::shape;
        if (!widest_bytes(info.extents, info.type))
            reject_field(to_string(info.extents), "at most 2^63 bytes");
        std::uint64_t const size = info.bytes();
        field_ = field::data_offsets;
        auto const found = [&, first = begin, last = end] {
            return (offsets_ < 2 ? std::to_string(offsets_) + " numbers"
                                 : '[' + std::to_string(first) + ", " + std::to_string(last) + ']');
        };
        if (offsets_ < 2)
            reject_field(found(), "two, begin and end");
        if (begin > end)
            reject_field(found(), "begin not after end");
        if (end > data_size_)
            reject_field(found(), "at most " + std::to_string(data_size_) + ", the bytes of the data section");
        if (end - begin != size)
            reject_field(found() + ", " + std::to_string(end - begin) + " bytes",
                         std::to_string(size) + " bytes for shape " + to_string(info.extents) + " of "
                             + std::string{name_of(info.type)});
    }

    /// The tensors must follow one another from the first byte of the data to the last.
    void check_tiling() {
        std::vector<std::uint32_t> order(entries_.size());
        for (std::uint32_t i = 0; i != order.size(); ++i)
            order[i] = i;
        std::ranges::sort(order, {}, [&](std::uint32_t i) { return std::pair{entries_[i].begin, entries_[i].end}; });
        std::uint64_t covered = 0;
        std::string_view previous;
        for (auto const i : order) {
            auto const & e = entries_[i];
            auto const rule = tensor(e.info.name) + ": data_offsets";
            if (e.begin < covered)
                reject(label_, rule,
                       "begin " + std::to_string(e.begin) + " inside tensor '" + printable(previous) + "', an overlap",
                       std::to_string(covered) + ", where that one ends");
            if (e.begin > covered)
                reject(label_, rule,
                       "begin " + std::to_string(e.begin) + ", a hole of " + std::to_string(e.begin - covered)
                           + " bytes before it",
                       std::to_string(covered) + ", where the tensor before ends");
            covered = e.end;
            previous = e.info.name;
        }
        if (covered != data_size_)
            reject(label_, "data section",
                   std::to_string(data_size_) + " bytes, " + std::to_string(data_size_ - covered) + " of them trailing",
                   std::to_string(covered) + ", where the last tensor ends");
    }

public:
    /// \param label what messages call the file \param data_size bytes of the file behind the header
    header_reader(std::string_view label, std::uint64_t data_size) : json_events{label}, data_size_{data_size} {}

    /// After the parser. \throws format_error where entries do not fit together
    safetensors_header result() && {
        std::ranges::sort(entries_, {}, [](entry const & e) { return std::string_view{e.info.name}; });
        auto const twice =
            std::ranges::adjacent_find(entries_, {}, [](entry const & e) { return std::string_view{e.info.name}; });
        if (twice != entries_.end())
            reject(label_, "names", tensor(twice->info.name) + " twice", "each name once");
        check_tiling();
        safetensors_header h;
        h.tensors.reserve(entries_.size());
        h.offsets.reserve(entries_.size());
        for (auto & e : entries_) {
            h.tensors.push_back(std::move(e.info));
            h.offsets.push_back(e.begin);
        }
        h.metadata = std::move(metadata_);
        return h;
    }
};

/// Reads the JSON text of a header, the H bytes, for a data section of that many bytes.
///
/// Any bytes are safe to pass. Fields of a tensor that the format does not name are passed over, as its own library
/// does.
/// \throws format_error naming file, rule, what was found and what was expected
/// Time: O(text + n log n) for n tensors; memory: proportional to the text.
/// Source: the format's definition (safetensors README) and the checks of its Rust library.
inline safetensors_header parse_header(std::string_view text, std::uint64_t data_size, std::string_view label) {
    header_reader reader{label, data_size};
    read_json(text, label, reader);
    return std::move(reader).result();
}

/// Where everything goes in a file to be written.
struct safetensors_layout {
    std::string head;                   ///< the length and the header: the first bytes of the file
    std::vector<std::uint64_t> offsets; ///< of each tensor from the start of the file
    std::uint64_t file_size = 0;        ///< bytes, the head's and those of all tensors
};

/// Lays out the tensors as the Python library does, byte for byte (with several metadata entries it has no fixed
/// order): by type, the widest first, then by name; the header padded with spaces to 8 bytes.
/// \throws format_error for what the format cannot hold
/// Time: O(n log n).
inline safetensors_layout lay_out(std::span<tensor_info const> tensors,
                                  std::map<std::string, std::string> const & metadata, std::string_view label) {
    // The library sorts by its enumeration of types, backwards; this is the place of each of ours.
    constexpr std::array<std::uint8_t, dtypes::table.size()> place{2, 3, 7, 6, 1, 5, 9, 12, 0, 4, 8, 13, 14, 10, 11};
    auto const expect_text = [&](std::string_view what, std::string_view text) {
        if (first_not_utf8(text))
            reject(label, what, "'" + printable(text) + "'", "UTF-8");
    };
    std::vector<std::size_t> order(tensors.size());
    for (std::size_t i = 0; i != order.size(); ++i)
        order[i] = i;
    std::ranges::sort(order, {}, [&](std::size_t i) {
        return std::pair{place[static_cast<std::size_t>(tensors[i].type)], std::string_view{tensors[i].name}};
    });

    safetensors_layout out;
    out.head.assign(8, '\0').append(1, '{');
    auto const entry = [&](std::string_view name) {
        out.head.append(out.head.size() > 9 ? "," : "").append(json_string(name)).append(":{");
    };
    if (!metadata.empty()) {
        entry("__metadata__");
        for (auto const & [key, value] : metadata) {
            expect_text("__metadata__", key);
            expect_text("__metadata__ '" + printable(key) + "'", value);
            out.head.append(out.head.back() == '{' ? "" : ",")
                .append(json_string(key))
                .append(":")
                .append(json_string(value));
        }
        out.head.push_back('}');
    }
    out.offsets.resize(tensors.size());
    std::uint64_t at = 0;
    for (auto const i : order) {
        auto const & t = tensors[i];
        expect_text("tensor name", t.name);
        if (t.name == "__metadata__")
            reject(label, "tensor name", "'__metadata__'", "any other, the format reserves it");
        if (t.extents.size() > safetensors_limits::rank)
            reject(label, "tensor '" + printable(t.name) + "': shape", std::to_string(t.extents.size()) + " extents",
                   "at most " + std::to_string(safetensors_limits::rank));
        static_cast<void>(t.count()); // a number of elements that does not exist is no matter of the format
        if (!widest_bytes(t.extents, t.type))
            reject(label, "tensor '" + printable(t.name) + "': shape", to_string(t.extents), "at most 2^63 bytes");
        auto const size = std::uint64_t{t.bytes()};
        if (size > (std::uint64_t{1} << 63) - at)
            reject(label, "file size", "more than 2^63 bytes", "less");
        entry(t.name);
        out.head.append("\"dtype\":\"").append(name_of(t.type)).append("\",\"shape\":[");
        for (std::size_t k = 0; k != t.extents.size(); ++k)
            out.head.append(k != 0 ? "," : "").append(std::to_string(t.extents[k]));
        out.head.append("],\"data_offsets\":[")
            .append(std::to_string(at))
            .append(",")
            .append(std::to_string(at + size))
            .append("]}");
        out.offsets[i] = at;
        at += size;
    }
    out.head.push_back('}');
    out.head.append((8 - out.head.size() % 8) % 8, ' ');
    std::uint64_t const length = out.head.size() - 8;
    if (length > safetensors_limits::header_bytes)
        reject(label, "header length", std::to_string(length) + " bytes",
               "at most " + std::to_string(safetensors_limits::header_bytes) + "; shards have shorter headers");
    std::memcpy(out.head.data(), &length, 8);
    for (auto & offset : out.offsets)
        offset += out.head.size();
    out.file_size = out.head.size() + at;
    return out;
}

} // namespace io
LATHE_NAMESPACE_END
