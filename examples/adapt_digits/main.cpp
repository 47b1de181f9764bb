// A perceptron that reads digits learns to read them mirrored: as a whole, and by adapters of few parameters.
#include "fine_tuning.hpp"

#include <cstdio>

using namespace adapt_digits;

namespace {
int failures = 0;
void expect(bool holds, char const * what) {
    if (!holds) {
        std::fprintf(stderr, "adapt_digits: expected that %s\n", what);
        ++failures;
    }
}
} // namespace

int main() {
    quickstart::backend be(1);
    auto const digits = quickstart::read_digits(LATHE_EXAMPLE_DATA "/optdigits.csv");
    auto const train = digits.part(0, 1200), test = digits.part(1200, digits.size() - 1200);
    auto parameters = quickstart::initial_parameters(7);
    quickstart::train(be, parameters, train, 20, 0.05, 7);
    auto const task = quickstart::tasks()[0];
    auto const there = task.view(train), unseen = task.view(test);
    auto const before = quickstart::accuracy(be, parameters, unseen);
    std::printf("digits as they are: %.1f %%; %s: %.1f %% before fine-tuning\n\n",
                100 * quickstart::accuracy(be, parameters, test), task.name.c_str(), 100 * before);

    std::printf("| method | rank | trained parameters | accuracy, %% |\n|---|---|---|---|\n");
    auto const run = [&](options const & o) {
        auto const result = fine_tune(be, parameters, there, unseen, o);
        expect(std::abs(result.accuracy - result.merged_accuracy) < 0.004, "merging changes next to nothing");
        return result;
    };
    auto const full = run({});
    std::printf("| full | | %zu | %.1f |\n", full.parameters, 100 * full.accuracy);
    expect(full.accuracy > before + 0.2, "fine-tuning helps");
    for (auto const method : {method::lora, method::pissa, method::milora, method::kasa}) {
        double first = 0, last = 0;
        for (auto const rank : {1u, 2u, 4u, 8u}) {
            auto const result = run({.method = method, .rank = rank});
            std::printf("| %s | %u | %zu | %.1f |\n", name_of(method), rank, result.parameters, 100 * result.accuracy);
            (rank == 1 ? first : last) = result.accuracy;
            expect(10 * result.parameters < 4 * full.parameters, "an adapter has fewer parameters than the network");
        }
        expect(first > before && last > first, "a higher rank learns more");
        expect(last > full.accuracy - 0.1, "an adapter of rank 8 comes near the whole");
    }

    std::printf(
        "\nKaSA of rank 4 by the weights of its losses\n\n"
        "| beta | gamma | accuracy, %% | sum of sigma^2 | distance from orthonormal |\n|---|---|---|---|---|\n");
    double sigma = 0, defect = 0;
    for (auto const beta : {0.0, 1e-3, 1e-1})
        for (auto const gamma : {0.0, 1e-3, 1e-1}) {
            auto const result = run({.method = method::kasa, .rank = 4, .beta = beta, .gamma = gamma});
            std::printf("| %g | %g | %.1f | %.3f | %.3f |\n", beta, gamma, 100 * result.accuracy, result.sigma,
                        result.defect);
            if (beta == 0 && gamma == 0) {
                sigma = result.sigma;
                defect = result.defect;
            } else if (beta == 1e-1 && gamma == 1e-1)
                expect(result.sigma < sigma && result.defect < 0.5 * defect, "the losses lessen what they measure");
        }
    return failures == 0 ? 0 : 1;
}
