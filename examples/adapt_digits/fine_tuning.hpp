#pragma once
// Fine-tuning a perceptron: whole, or by adapters of its two weights.
#include "digits.hpp"

namespace adapt_digits {

enum class method { full, lora, pissa, milora, kasa };
char const * name_of(method m);

struct options {
    adapt_digits::method method = adapt_digits::method::full;
    std::size_t rank = 0;             // of the adapters
    double beta = 1e-4, gamma = 1e-3; // of KaSA's losses
    std::size_t epochs = 12;
    std::uint64_t seed = 1;
};
struct outcome {
    std::size_t parameters = 0; // that were trained
    double accuracy = 0;        // of the network with its adapters, on rows it has not seen
    double merged_accuracy = 0; // with the adapters merged into its weights
    double sigma = 0;           // KaSA: sum of sigma^2
    double defect = 0;          // KaSA: |A A^T - I| + |B^T B - I|, over both layers
};

/// From the parameters of quickstart::layout(), which stay as they are.
outcome fine_tune(quickstart::backend & be, quickstart::vector const & parameters, quickstart::rows const & train,
                  quickstart::rows const & test, options const & o);

} // namespace adapt_digits
