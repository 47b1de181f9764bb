#include "array_fixture.hpp"

#include <lathe/core/convert.hpp>

#include <charconv>

namespace lathe_replay {

number_array read_npy(fs::path const & path) {
    lathe::io::npy_file file(path);
    auto const & info = file.tensors()[0];
    lathe::window_buffer buffer;
    auto const bytes = file.read(0, 0, info.bytes(), buffer);
    number_array a{info.extents, std::vector<double>(info.count())};
    auto const copy = [&]<class E>(E) {
        for (std::size_t i = 0; i != a.values.size(); ++i) {
            E e;
            std::memcpy(&e, bytes.data() + i * sizeof e, sizeof e);
            a.values[i] = static_cast<double>(e);
        }
    };
    switch (info.type) {
    case lathe::dtype::i64: copy(std::int64_t{}); break;
    case lathe::dtype::i32: copy(std::int32_t{}); break;
    case lathe::dtype::u64: copy(std::uint64_t{}); break;
    case lathe::dtype::u32: copy(std::uint32_t{}); break;
    case lathe::dtype::i16: copy(std::int16_t{}); break;
    case lathe::dtype::i8: copy(std::int8_t{}); break;
    case lathe::dtype::u8:
    case lathe::dtype::boolean: copy(std::uint8_t{}); break;
    case lathe::dtype::f64: copy(double{}); break;
    case lathe::dtype::f32: copy(float{}); break;
    default:
        throw failure{path.string() + ": elements of type " + std::string{name_of(info.type)} + " are not expected"};
    }
    return a;
}

void expect_close(std::string const & what, std::span<double const> actual, std::span<double const> expected,
                  double atol, double rtol) {
    if (actual.size() != expected.size())
        throw failure{what + ": " + std::to_string(actual.size()) + " elements, expected "
                      + std::to_string(expected.size())};
    for (std::size_t i = 0; i != actual.size(); ++i) {
        bool const fits = std::isnan(expected[i])
                              ? std::isnan(actual[i])
                              : std::abs(actual[i] - expected[i]) <= atol + rtol * std::abs(expected[i]);
        if (!fits && actual[i] != expected[i]) { // equal infinities
            std::array<char, 160> text{};
            std::snprintf(text.data(), text.size(),
                          "[%zu]: found %.17g, expected %.17g, tolerance %.3g + %.3g relative", i, actual[i],
                          expected[i], atol, rtol);
            throw failure{what + text.data()};
        }
    }
}

std::string tag_of(double number) {
    std::array<char, 32> text{};
    auto const [end, problem] = std::to_chars(text.data(), text.data() + text.size(), number);
    std::string s(text.data(), problem == std::errc{} ? end : text.data());
    std::ranges::replace(s, '.', '_');
    return s;
}

} // namespace lathe_replay
