#pragma once
// The digits, the tasks made of them, and the models trained on them.
#include <lathe/backend/eigen.hpp>
#include <lathe/merge/objectives.hpp>

#include <functional>

namespace quickstart {

using backend = lathe::eigen_backend;
using objective = lathe::merge::classifier_objective<backend, float>;
using vector = std::vector<float>;

inline constexpr std::size_t side = 8, pixels = side * side, classes = 10, hidden = 256;

/// Rows of pixels in [0, 1] and their labels.
struct rows {
    vector inputs;
    std::vector<std::size_t> labels;
    [[nodiscard]] std::size_t size() const { return labels.size(); }
    [[nodiscard]] rows part(std::size_t first, std::size_t count) const;
};

/// Reads 64 pixel values 0..16 and a label on each line. Throws lathe::format_error.
rows read_digits(std::string const & path);

/// A way to see the same digits: what its expert is fine-tuned on, and what the merged model is tested on.
struct task {
    std::string name;
    std::function<rows(rows const &)> view;
};
/// Eight of them: shifts, reflections, inversion, occlusion.
std::vector<task> tasks();
/// Sixteen that no task needs: random labels and other questions about the same pixels.
std::vector<task> irrelevant_tasks();

/// The parameters of the perceptron 64 - 128 - 10, in the layout of its tensors.
lathe::merge::parameter_layout layout();
std::vector<lathe::merge::dense_layer> layers();
/// Gaussian-like start, scaled by the fan-in.
vector initial_parameters(std::uint64_t seed);
/// Stochastic gradient descent with momentum on the cross-entropy, in place.
void train(backend & be, vector & parameters, rows const & data, std::size_t epochs, double rate, std::uint64_t seed);
double accuracy(backend & be, vector const & parameters, rows const & data);

} // namespace quickstart
