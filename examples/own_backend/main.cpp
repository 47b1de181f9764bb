// Methods over the backend of vector_backend.hpp, which knows nothing of them.
#include "vector_backend.hpp"

#include <lathe/adapt/kasa.hpp>
#include <lathe/cluster/fuzzy_c_means.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/evaluate/similarity.hpp>
#include <lathe/evaluate/worfeval.hpp>
#include <lathe/merge/ties.hpp>

#include <cstdio>

namespace {

/// Two models and their base, merged by TIES.
template <class B> void merge(B & be) {
    lathe::memory_checkpoint base("base"), one("one"), two("two"), merged("merged");
    base.set<float>("weight", {4}, std::vector{0.0f, 0.0f, 0.0f, 0.0f});
    one.set<float>("weight", {4}, std::vector{4.0f, 0.1f, 2.0f, -1.0f});
    two.set<float>("weight", {4}, std::vector{2.0f, 0.2f, -3.0f, -2.0f});
    lathe::merge::ties(be, lathe::merge::model_pool(&base, {&one, &two}), merged, {.density = {0.75}});
    std::vector<float> weight(4);
    std::memcpy(weight.data(), merged.bytes(0).data(), merged.bytes(0).size());
    std::printf("merge:    %g %g %g %g\n", weight[0], weight[1], weight[2], weight[3]);
}

/// Points on a line, around 1 and around 9.
template <class B> void cluster(B & be) {
    auto points = be.template allocate<float>(6);
    be.upload(std::span<float const>{std::vector{0.5f, 1.0f, 1.5f, 8.5f, 9.0f, 9.5f}}, points.view());
    auto const found =
        lathe::cluster::fuzzy_c_means(be, lathe::as_matrix(points.view(), 6, 1), {.clusters = 2, .fuzzifier = 2});
    std::printf("cluster:  centres at %.1f and %.1f\n", std::ranges::min(found.centres),
                std::ranges::max(found.centres));
}

/// A weight of rank 3 without its smallest singular triplet, and with it again.
template <class B> void adapt(B & be) {
    auto elements = be.template allocate<float>(9);
    auto const weight = lathe::as_matrix(elements.view(), 3, 3);
    be.upload(std::span<float const>{std::vector{5.0f, 0.0f, 0.0f, 0.0f, 0.0f, 3.0f, 0.0f, 0.25f, 0.0f}},
              elements.view());
    auto dropped = lathe::adapt::kasa_truncate(be, weight, 1);
    auto const left = std::sqrt(lathe::ops::dot(be, elements.view(), elements.view()));
    lathe::adapt::kasa_restore(be, weight, dropped);
    auto const whole = std::sqrt(lathe::ops::dot(be, elements.view(), elements.view()));
    std::printf("adapt:    dropped %.2f of a weight of norm %.4f, %.4f without it\n",
                static_cast<double>(dropped.dropped->s[0]), whole, left);
}

/// A generated workflow against the gold one.
template <class B> void evaluate(B & be) {
    using namespace lathe::evaluate;
    auto const gold = parse_workflow("Node:\n1: find a pan\n2: cool the pan\n3: put the pan on the table\n"
                                     "Edge: (START,1) (1,2) (2,3) (3,END)");
    auto const predicted = parse_workflow("Node:\n1: find a pan\n2: put the pan on the table\n"
                                          "Edge: (START,1) (1,2) (2,END)");
    auto texts = predicted->nodes;
    texts.insert(texts.end(), gold->nodes.begin(), gold->nodes.end());
    similarity_request request;
    for (std::size_t i = 0; i != texts.size(); ++i)
        (i < predicted->nodes.size() ? request.rows : request.cols).push_back(i);
    auto const similar = similarities(be, hashed_embeddings(texts), std::span<similarity_request const>{&request, 1});
    auto const score = worfeval_scorer{}.strict({&*predicted, &*gold, similar.matrices[0].view()});
    std::printf("evaluate: chain F1 %.3f, graph F1 %.3f\n", score.chain.f1, score.graph.f1);
}

template <class B> void run() {
    if constexpr (lathe::matrix_space<B, float>) { // else the header of the backend says what is missing
        B be;
        merge(be);
        cluster(be);
        adapt(be);
        evaluate(be);
    }
}
} // namespace

int main() { run<vector_backend>(); }
