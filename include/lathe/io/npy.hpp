#pragma once
/// \file  Arrays in .npy files (numpy.lib.format 1.0, 2.0 and 3.0): read as a checkpoint of one tensor, and written.
///
/// Read are C-ordered little-endian arrays of f2, f4, f8, of integers and booleans; whoever computes widens floats as
/// it does those of any checkpoint and takes no integers. Written are arrays of the same types, in format 1.0.
#include <lathe/core/checkpoint.hpp>
#include <lathe/io/file.hpp>

#include <charconv>
#include <memory>

LATHE_NAMESPACE_BEGIN
namespace io {

/// What the header of a .npy file says.
struct npy_header {
    dtype type = dtype::f64; ///< of every element
    shape extents;           ///< outermost first; none for a scalar
};

/// Reads the Python dictionary that is the header of a .npy file: {'descr': '<f4', 'fortran_order': False,
/// 'shape': (3, 4), }, its keys in any order, each once.
class npy_header_parser {
    std::string_view text_;
    std::string label_;
    std::size_t at_ = 0;

    [[noreturn]] void reject(std::string const & found, std::string_view expected) const {
        throw format_error{label_ + ": header: found " + found + ", expected " + std::string{expected}};
    }
    /// The next characters, for messages.
    [[nodiscard]] std::string here() const {
        std::string s;
        for (auto const c : text_.substr(at_, 20))
            s += c >= ' ' && c <= '~' ? c : '?';
        return s.empty() ? "the end" : "'" + s + "'";
    }
    void skip_spaces() {
        while (at_ != text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
            ++at_;
    }
    bool take(char c) {
        skip_spaces();
        if (at_ == text_.size() || text_[at_] != c)
            return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!take(c))
            reject(here(), std::string{"'"} + c + "'");
    }
    std::string_view word() {
        skip_spaces();
        auto const quote = at_ == text_.size() ? '\0' : text_[at_];
        if (quote != '\'' && quote != '"')
            reject(here(), "a string");
        auto const end = text_.find(quote, at_ + 1);
        if (end == text_.npos)
            reject(here(), "a string with an end");
        auto const s = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return s;
    }
    dtype type() {
        static constexpr std::pair<std::string_view, dtype> known[] = {
            {"<f8", dtype::f64}, {"<f4", dtype::f32}, {"<f2", dtype::f16}, {"<i8", dtype::i64},
            {"<i4", dtype::i32}, {"<i2", dtype::i16}, {"|i1", dtype::i8},  {"<u8", dtype::u64},
            {"<u4", dtype::u32}, {"<u2", dtype::u16}, {"|u1", dtype::u8},  {"|b1", dtype::boolean}};
        auto const begin = at_;
        auto const name = word();
        for (auto const & [spelling, t] : known)
            if (name == spelling)
                return t;
        at_ = begin;
        reject("descr " + here(), "'<f8', '<f4', '<f2' (little-endian floats), an integer type or '|b1'");
    }
    bool boolean() {
        skip_spaces();
        for (auto const & [spelling, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
            if (text_.substr(at_).starts_with(spelling)) {
                at_ += spelling.size();
                return value;
            }
        reject("fortran_order " + here(), "True or False");
    }
    shape extents() {
        shape all;
        expect('(');
        while (!take(')')) {
            skip_spaces();
            std::size_t n = 0;
            auto const * const first = text_.data() + at_;
            auto const [end, problem] = std::from_chars(first, text_.data() + text_.size(), n);
            if (problem != std::errc{})
                reject("shape " + here(), "extents that fit 64 bits");
            at_ += static_cast<std::size_t>(end - first);
            all.push_back(n);
            if (all.size() > 64)
                reject("a shape of more than 64 extents", "at most 64");
            if (!take(',')) {
                if (all.size() == 1)
                    reject("shape " + here(), "',' after a single extent");
                expect(')');
                break;
            }
        }
        return all;
    }

public:
    /// \param text the dictionary, which has to outlive the parser \param label what messages call the file
    npy_header_parser(std::string_view text, std::string label) : text_{text}, label_{std::move(label)} {}
    /// What the text says. \throws format_error that names the file, what was found and what was expected
    npy_header parse() {
        npy_header header;
        bool has_type = false, has_shape = false, has_order = false, fortran = false;
        auto const once = [&](bool & seen, std::string_view key) {
            if (std::exchange(seen, true))
                reject("'" + std::string{key} + "' twice", "once");
        };
        expect('{');
        while (!take('}')) {
            auto const begin = at_;
            auto const key = word();
            expect(':');
            if (key == "descr") {
                once(has_type, key);
                header.type = type();
            } else if (key == "fortran_order") {
                once(has_order, key);
                fortran = boolean();
            } else if (key == "shape") {
                once(has_shape, key);
                header.extents = extents();
            } else {
                at_ = begin;
                reject("key " + here(), "descr, fortran_order or shape");
            }
            if (!take(',')) {
                expect('}');
                break;
            }
        }
        skip_spaces();
        if (at_ != text_.size())
            reject(here(), "nothing after the dictionary");
        if (!has_type || !has_shape || !has_order)
            reject("no "
                       + std::string{!has_type    ? "descr"
                                     : !has_shape ? "shape"
                                                  : "fortran_order"},
                   "descr, fortran_order and shape");
        if (fortran && header.extents.size() > 1)
            reject("fortran_order True", "C order: save numpy.ascontiguousarray(a)");
        return header;
    }
};

/// One .npy file, mapped: a checkpoint whose one tensor is called "array". The header is read and checked by the
/// constructor. The file must not be shortened while it is mapped (see safetensors_file).
class npy_file final : public checkpoint {
    static constexpr std::uint64_t longest_header = std::uint64_t{1} << 20;

    std::string label_;
    std::vector<tensor_info> tensors_;
    std::map<std::string, std::string> metadata_; // none
    std::uint64_t data_begin_ = 0;
    file_map map_;
    std::unique_ptr<resident_window> resident_;

    [[noreturn]] void reject(std::string const & found, std::string_view expected) const {
        throw format_error{label_ + ": found " + found + ", expected " + std::string{expected}};
    }

public:
    /// \param resident_bytes of the map stay in memory behind the reading position; 0 keeps all that was read
    /// \throws io_error, format_error
    explicit npy_file(std::filesystem::path const & path, std::size_t resident_bytes = std::size_t{8} << 20)
        : label_{path.string()}, resident_{std::make_unique<resident_window>(resident_bytes)} {
        auto const opened = file::open(path);
        auto const size = opened.size();
        std::array<std::byte, 12> first{};
        opened.read(std::span{first}.first(std::min<std::uint64_t>(size, first.size())), 0);
        auto const byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(first[i]); };
        static constexpr std::array<std::uint32_t, 6> magic{0x93, 'N', 'U', 'M', 'P', 'Y'};
        for (std::size_t i = 0; i != magic.size(); ++i)
            if (size < first.size() || byte(i) != magic[i])
                reject("no '\\x93NUMPY' at the beginning", "a .npy file");
        auto const major = byte(6);
        if (major < 1 || major > 3 || byte(7) != 0)
            reject("format " + std::to_string(major) + "." + std::to_string(byte(7)), "1.0, 2.0 or 3.0");
        std::uint64_t const length =
            major == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
        std::uint64_t const begin = major == 1 ? 10 : 12;
        if (length > longest_header || length > size - begin)
            reject("a header of " + std::to_string(length) + " bytes", "one that fits the file, of at most 1 MiB");
        std::string text(length, '\0');
        opened.read(std::as_writable_bytes(std::span{text}), begin);
        auto header = npy_header_parser(text, label_).parse();
        data_begin_ = begin + length;
        tensor_info info{"array", header.type, std::move(header.extents)};
        if (!widest_bytes(info.extents, info.type))
            reject("shape " + to_string(info.extents), "at most 2^63 bytes");
        auto const count = info.count();
        if (count > (size - data_begin_) / size_of(info.type) || (size - data_begin_) != count * size_of(info.type))
            reject(std::to_string(size - data_begin_) + " bytes of data",
                   std::to_string(count) + " elements of " + std::to_string(size_of(info.type)) + " bytes, for shape "
                       + to_string(info.extents));
        tensors_.push_back(std::move(info));
        map_ = file_map(opened, size);
    }
    ~npy_file() override { resident_->forget(map_.bytes()); }

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return metadata_; }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size, window_buffer &) override {
        expects_shape(index == 0, "npy_file::read: there is one array");
        expects_window(tensors_[0], first, size);
        auto const window = map_.bytes().subspan(data_begin_ + first, size);
        resident_->touch(map_.bytes(), window);
        return window;
    }
};

/// The header of a .npy file, from its magic on, as long as a multiple of 64. \throws unsupported_error for bf16 and
/// 8-bit floats, which numpy has not
inline std::string npy_header_of(dtype type, shape const & extents) {
    std::string_view spelling;
    switch (type) {
    case dtype::f64: spelling = "<f8"; break;
    case dtype::f32: spelling = "<f4"; break;
    case dtype::f16: spelling = "<f2"; break;
    case dtype::i64: spelling = "<i8"; break;
    case dtype::i32: spelling = "<i4"; break;
    case dtype::i16: spelling = "<i2"; break;
    case dtype::i8: spelling = "|i1"; break;
    case dtype::u64: spelling = "<u8"; break;
    case dtype::u32: spelling = "<u4"; break;
    case dtype::u16: spelling = "<u2"; break;
    case dtype::u8: spelling = "|u1"; break;
    case dtype::boolean: spelling = "|b1"; break;
    default: throw unsupported_error{"npy: no such element type as " + std::string{name_of(type)}};
    }
    std::string dictionary = "{'descr': '" + std::string{spelling} + "', 'fortran_order': False, 'shape': (";
    for (std::size_t i = 0; i != extents.size(); ++i)
        dictionary += std::to_string(extents[i])
                      + (i + 1 == extents.size() && i != 0 ? ""
                         : i == 0 && extents.size() == 1   ? ","
                                                           : ", ");
    dictionary += "), }";
    dictionary.append((64 - (10 + dictionary.size() + 1) % 64) % 64, ' ').push_back('\n');
    expects_shape(dictionary.size() <= 0xffff, "npy: too many extents for a header of format 1.0");
    std::string header = "\x93NUMPY";
    for (auto const c : {std::size_t{1}, std::size_t{0}, dictionary.size() & 0xff, dictionary.size() >> 8})
        header.push_back(static_cast<char>(static_cast<unsigned char>(c)));
    return header + dictionary;
}

/// Writes an array; the file appears whole or not at all. \throws shape_error if the bytes are not those of the shape;
/// unsupported_error, io_error
inline void write_npy(std::filesystem::path const & path, dtype type, shape const & extents,
                      std::span<std::byte const> bytes) {
    expects_shape(bytes.size() == count_of(extents) * size_of(type), "write_npy: the bytes do not fit the shape");
    auto const header = npy_header_of(type, extents);
    staged_file out(path, false);
    out.write(std::as_bytes(std::span{header}), 0);
    out.write(bytes, header.size());
    out.close();
    out.publish();
}
/// The same of numbers.
template <real T> void write_npy(std::filesystem::path const & path, shape const & extents, std::span<T const> values) {
    write_npy(path, dtype_of<T>, extents, std::as_bytes(values));
}

} // namespace io
LATHE_NAMESPACE_END
