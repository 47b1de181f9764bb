#include "digits.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>

namespace quickstart {

using lathe::random::uniform_stream;

rows rows::part(std::size_t first, std::size_t count) const {
    auto const at = static_cast<std::ptrdiff_t>(first), end = static_cast<std::ptrdiff_t>(first + count);
    auto const width = static_cast<std::ptrdiff_t>(pixels);
    return {vector(inputs.begin() + at * width, inputs.begin() + end * width),
            std::vector(labels.begin() + at, labels.begin() + end)};
}

rows read_digits(std::string const & path) {
    std::ifstream file(path);
    if (!file)
        throw lathe::io_error{path + ": cannot be opened"};
    rows all;
    std::string line;
    for (std::size_t number = 1; std::getline(file, line); ++number) {
        std::vector<int> values;
        for (char const *at = line.data(), *end = at + line.size(); at < end; ++at) {
            int value = 0;
            auto const [stop, failure] = std::from_chars(at, end, value);
            if (failure != std::errc{})
                break;
            values.push_back(value);
            at = stop;
        }
        if (values.size() != pixels + 1 || values.back() < 0 || values.back() >= static_cast<int>(classes))
            throw lathe::format_error{path + ", line " + std::to_string(number)
                                      + ": expected 64 pixels and a label 0 to 9"};
        for (std::size_t i = 0; i != pixels; ++i)
            all.inputs.push_back(static_cast<float>(values[i]) / 16.0f);
        all.labels.push_back(static_cast<std::size_t>(values.back()));
    }
    return all;
}

namespace {

/// Every image becomes f(image), a function of (row, column) -> brightness.
template <class F> task image_task(std::string name, F f) {
    return {std::move(name), [f](rows const & from) {
        rows to = from;
        for (std::size_t r = 0; r != from.size(); ++r) {
            auto const * image = from.inputs.data() + r * pixels;
            auto const pixel = [&](int y, int x) {
                return y < 0 || x < 0 || y >= static_cast<int>(side) || x >= static_cast<int>(side)
                           ? 0.0f
                           : image[static_cast<std::size_t>(y) * side + static_cast<std::size_t>(x)];
            };
            for (int y = 0; y != static_cast<int>(side); ++y)
                for (int x = 0; x != static_cast<int>(side); ++x)
                    to.inputs[r * pixels + static_cast<std::size_t>(y) * side + static_cast<std::size_t>(x)] =
                        f(pixel, y, x);
        }
        return to;
    }};
}
/// The images stay, the label becomes f(image, label, row).
template <class F> task label_task(std::string name, F f) {
    return {std::move(name), [f](rows const & from) {
        rows to = from;
        for (std::size_t r = 0; r != from.size(); ++r)
            to.labels[r] =
                f(std::span<float const>{from.inputs.data() + r * pixels, pixels}, from.labels[r], r) % classes;
        return to;
    }};
}
std::size_t tenth(double share) { return static_cast<std::size_t>(std::clamp(share * 10, 0.0, 9.0)); }

} // namespace

std::vector<task> tasks() {
    return {
        image_task("mirrored", [](auto const & p, int y, int x) { return p(y, 7 - x); }),
        image_task("lower half hidden", [](auto const & p, int y, int x) { return y >= 4 ? 0.5f : p(y, x); }),
        image_task("faded", [](auto const & p, int y, int x) { return 0.5f + 0.25f * p(y, x); }),
        image_task("shifted left", [](auto const & p, int y, int x) { return p(y, x + 1); }),
        image_task("upper half hidden", [](auto const & p, int y, int x) { return y < 4 ? 0.5f : p(y, x); }),
        image_task("upside down", [](auto const & p, int y, int x) { return p(7 - y, x); }),
        image_task("every other pixel", [](auto const & p, int y, int x) { return (x + y) % 2 == 0 ? p(y, x) : 0.0f; }),
        image_task("outlines",
                   [](auto const & p, int y, int x) {
        return std::fabs(p(y, x + 1) - p(y, x - 1)) + std::fabs(p(y + 1, x) - p(y - 1, x));
    }),
    };
}

std::vector<task> irrelevant_tasks() {
    std::vector<task> all;
    for (std::uint32_t k = 0; k != 8; ++k) {
        all.push_back(label_task("random labels " + std::to_string(k + 1), [k](auto, std::size_t, std::size_t row) {
            return static_cast<std::size_t>(uniform_stream{99, k}[row] * 10);
        }));
        switch (k) {
        case 0:
            all.push_back(label_task("next digit", [](auto, std::size_t label, std::size_t) { return label + 1; }));
            break;
        case 1:
            all.push_back(
                label_task("ten's complement", [](auto, std::size_t label, std::size_t) { return 9 - label; }));
            break;
        case 2:
            all.push_back(label_task("parity", [](auto, std::size_t label, std::size_t) { return label % 2; }));
            break;
        case 3:
            all.push_back(label_task("amount of ink", [](auto image, std::size_t, std::size_t) {
                return tenth(std::accumulate(image.begin(), image.end(), 0.0) / pixels * 1.6);
            }));
            break;
        case 4:
            all.push_back(label_task("brightest row", [](auto image, std::size_t, std::size_t) {
                std::size_t best = 0;
                double most = -1;
                for (std::size_t y = 0; y != side; ++y)
                    if (auto const ink =
                            std::accumulate(image.begin() + static_cast<std::ptrdiff_t>(y * side),
                                            image.begin() + static_cast<std::ptrdiff_t>((y + 1) * side), 0.0);
                        ink > most) {
                        most = ink;
                        best = y;
                    }
                return best;
            }));
            break;
        case 5:
            all.push_back(label_task("times three", [](auto, std::size_t label, std::size_t) { return 3 * label; }));
            break;
        case 6:
            all.push_back(label_task("left or right", [](auto image, std::size_t, std::size_t) {
                double left = 0, right = 0;
                for (std::size_t i = 0; i != pixels; ++i)
                    (i % side < side / 2 ? left : right) += static_cast<double>(image[i]);
                return tenth(left / (left + right + 1e-9));
            }));
            break;
        default:
            all.push_back(label_task("always zero", [](auto, std::size_t, std::size_t) { return std::size_t{0}; }));
            break;
        }
    }
    return all;
}

lathe::merge::parameter_layout layout() {
    using lathe::dtype;
    return lathe::merge::parameter_layout({{"hidden.weight", dtype::f32, {hidden, pixels}},
                                           {"hidden.bias", dtype::f32, {hidden}},
                                           {"output.weight", dtype::f32, {classes, hidden}},
                                           {"output.bias", dtype::f32, {classes}}});
}
std::vector<lathe::merge::dense_layer> layers() {
    return {{"hidden.weight", "hidden.bias"}, {"output.weight", "output.bias"}};
}

vector initial_parameters(std::uint64_t seed) {
    auto const l = layout();
    vector x(l.size(), 0.0f);
    for (std::size_t i = 0; i != l.tensors().size(); ++i) {
        auto const & extents = l.tensors()[i].extents;
        if (extents.size() != 2)
            continue;
        auto const spread = std::sqrt(6.0f / static_cast<float>(extents[1]));
        uniform_stream const u{seed, static_cast<std::uint32_t>(i)};
        for (std::size_t j = 0; j != l.tensors()[i].count(); ++j)
            x[l.offset(i) + j] = spread * (2 * u[j] - 1);
    }
    return x;
}

void train(backend & be, vector & parameters, rows const & data, std::size_t epochs, double rate, std::uint64_t seed) {
    constexpr std::size_t batch = 100;
    objective f(layout(), layers());
    vector gradient(parameters.size()), velocity(parameters.size(), 0.0f), inputs;
    auto const x = lathe::view_of(std::span{parameters});
    auto const g = lathe::view_of(std::span{gradient}), v = lathe::view_of(std::span{velocity});
    std::vector<std::size_t> order(data.size()), labels;
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t epoch = 0; epoch != epochs; ++epoch) {
        uniform_stream const u{seed, static_cast<std::uint32_t>(epoch)};
        std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{u[i], i}; });
        for (std::size_t first = 0; first + batch <= order.size(); first += batch) {
            inputs.clear();
            labels.clear();
            for (std::size_t i = first; i != first + batch; ++i) {
                auto const row = data.inputs.begin() + static_cast<std::ptrdiff_t>(order[i] * pixels);
                inputs.insert(inputs.end(), row, row + static_cast<std::ptrdiff_t>(pixels));
                labels.push_back(data.labels[order[i]]);
            }
            f.set_rows(be, inputs, labels);
            f.value_and_gradient(be, x, g);
            lathe::ops::axpby(be, 1.0f, g, 0.9f, v);
            lathe::ops::axpy(be, static_cast<float>(-rate), v, x);
        }
    }
}

double accuracy(backend & be, vector const & parameters, rows const & data) {
    objective f(layout(), layers());
    f.set_rows(be, data.inputs, data.labels);
    return f.accuracy(be, lathe::view_of(std::span{parameters}));
}

} // namespace quickstart
