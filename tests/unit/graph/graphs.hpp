#pragma once
/// \file  Small random graphs, and what tests of the graph algorithms read from files.
#include <lathe/graph/digraph.hpp>
#include <lathe/io/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <fstream>
#include <random>

namespace lathe_test {

using lathe::graph::arc;
using lathe::graph::none;
using lathe::graph::vertex;

class dice {
    std::mt19937 bits_; // whose numbers the standard fixes, unlike those of its distributions

public:
    explicit dice(std::uint32_t seed) : bits_{seed} {}
    std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(bits_() % n); }
    bool chance(double p) { return static_cast<double>(bits_()) < p * 0x1p32; }
};

inline std::vector<arc> random_arcs(dice & random, std::size_t n, double density) {
    std::vector<arc> arcs;
    for (vertex a = 0; a != n; ++a)
        for (vertex b = 0; b != n; ++b)
            if (a != b && random.chance(density))
                arcs.push_back({a, b});
    return arcs;
}

/// No cycle; the order of the vertices is no topological order as a rule.
inline std::vector<arc> random_acyclic_arcs(dice & random, std::size_t n, double density) {
    std::vector<vertex> name(n);
    for (std::size_t i = 0; i != n; ++i)
        std::swap(name[i] = static_cast<vertex>(i), name[random.below(i + 1)]);
    std::vector<arc> arcs;
    for (std::size_t a = 0; a != n; ++a)
        for (auto b = a + 1; b != n; ++b)
            if (random.chance(density))
                arcs.push_back({name[a], name[b]});
    for (std::size_t i = arcs.size(); i > 1; --i)
        std::swap(arcs[i - 1], arcs[random.below(i)]);
    return arcs;
}

inline std::string const worfeval_data = std::string{LATHE_TEST_DATA} + "/worfeval/";

inline std::vector<arc> arcs_of(nlohmann::json const & edges) {
    std::vector<arc> arcs;
    for (auto const & e : edges)
        arcs.push_back({e.at(0).get<vertex>(), e.at(1).get<vertex>()});
    return arcs;
}

/// -1 is none.
inline std::vector<vertex> mapping_of(nlohmann::json const & mapping) {
    std::vector<vertex> out;
    for (auto const & m : mapping)
        out.push_back(m.get<int>() < 0 ? none : m.get<vertex>());
    return out;
}

/// The elements of a float32 tensor.
inline std::vector<float> tensor_of(lathe::checkpoint & file, std::string const & name) {
    auto const index = file.find(name).value();
    lathe::window_buffer buffer;
    auto const bytes = file.read(index, 0, file.tensors()[index].bytes(), buffer);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

} // namespace lathe_test
