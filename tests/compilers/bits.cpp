/// \file  One method of each pillar on fixed data, on the kernels of the library itself: a digest of the bits of each
///        result, a line each. tests/compilers/check.sh compiles this with every compiler and compares.
#include "../unit/linalg/matrices.hpp"

#include <lathe/adapt/spectral.hpp>
#include <lathe/cluster/k_means.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/evaluate/similarity.hpp>
#include <lathe/evaluate/worfeval.hpp>
#include <lathe/evaluate/workflow_text.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/semstamp.hpp>

#include <cstdio>

using namespace lathe;

namespace {
using host_backend = lathe_test::plain_backend<thread_pool>;

std::uint64_t digest(std::span<std::byte const> bytes) {
    return random::fnv1a({reinterpret_cast<char const *>(bytes.data()), bytes.size()});
}
template <class T> void say(char const * what, std::span<T const> values) {
    std::printf("%-28s %016llx\n", what, static_cast<unsigned long long>(digest(std::as_bytes(values))));
}

void merging(host_backend & be) {
    std::vector<std::unique_ptr<memory_checkpoint>> models;
    std::vector<checkpoint *> all;
    for (std::uint64_t k = 0; k != 4; ++k) {
        auto & m = *models.emplace_back(std::make_unique<memory_checkpoint>("model " + std::to_string(k)));
        auto const w = lathe_test::random_matrix<float>(90, 111, k + 1);
        m.set<float>("w", {90, 111}, w.values);
        std::vector<std::byte> half(w.values.size() * 2);
        host::store(dtype::f16, w.values.data(), w.values.size(), half.data());
        m.set({"h", dtype::f16, {w.values.size()}}, half);
        if (k != 0)
            all.push_back(&m);
    }
    auto const written = [&](char const * what, memory_checkpoint & out) {
        window_buffer buffer;
        std::vector<std::byte> bytes;
        for (std::size_t i = 0; i != out.tensors().size(); ++i) {
            auto const read = out.read(i, 0, out.tensors()[i].bytes(), buffer);
            bytes.insert(bytes.end(), read.begin(), read.end());
        }
        say<std::byte>(what, bytes);
    };
    for (std::size_t const window : {std::size_t{1} << 20, std::size_t{4096}}) {
        merge::model_pool const pool(models[0].get(), all, {.window = window});
        memory_checkpoint sum;
        merge::task_arithmetic(be, pool, sum, {.scaling = 0.3});
        written("merge: task arithmetic", sum);
        all.resize(2);
        merge::model_pool const pair(nullptr, all, {.window = window});
        memory_checkpoint between;
        merge::slerp(be, pair, between, {});
        written("merge: slerp", between);
        all.push_back(models[3].get());
    }
}

void adapters(host_backend & be) {
    auto w = lathe_test::random_matrix<float>(24, 17, 9);
    auto made = adapt::pissa(be, w.view(), 4);
    auto const left = lathe_test::on_host<float>(be, made.b()), right = lathe_test::on_host<float>(be, made.a());
    say<float>("adapt: PiSSA, B", left.values);
    say<float>("adapt: PiSSA, A", right.values);
    say<float>("adapt: PiSSA, residual", w.values);
}

void clusters(host_backend & be) {
    auto const x = lathe_test::random_matrix<float>(700, 12, 5);
    auto const found = cluster::k_means<float>(be, x.view(), {.clusters = 5, .seed = 3});
    say<double>("cluster: k-means, centres", found.centres);
    say<double>("cluster: k-means, weights", found.weights);
}

void watermarks(host_backend & be) {
    auto const rows = lathe_test::random_matrix<float>(600, 32, 6);
    std::vector<std::size_t> offsets;
    for (std::size_t i = 0; i <= 600; i += 12)
        offsets.push_back(i);
    watermark::semstamp const marks(watermark::semstamp_normals(3, 32, 1), 3);
    auto const found = watermark::detect<float>(be, marks, rows.view(), offsets, {.prompt_sentences = 1});
    std::vector<double> scores, p_values;
    for (auto const & d : found.documents) {
        scores.push_back(d.score);
        p_values.push_back(d.null.p);
    }
    say<double>("watermark: SemStamp, scores", scores);
    say<double>("watermark: SemStamp, p", p_values);
}

void evaluation(host_backend & be) {
    auto const gold =
        *evaluate::parse_workflow("Node:\n1: boil the water\n2: warm the pot\n3: pour it\nEdge: (START,1) "
                                  "(START,2) (1,3) (2,3) (3,END)");
    auto const said = *evaluate::parse_workflow("Node:\n1: warm the pot\n2: pour it slowly\nEdge: (START,1) (1,2) "
                                                "(2,END)");
    auto const a = evaluate::hashed_embeddings(said.nodes), b = evaluate::hashed_embeddings(gold.nodes);
    lathe_test::matrix<float> similar(said.nodes.size(), gold.nodes.size());
    for (std::size_t i = 0; i != similar.rows; ++i)
        for (std::size_t j = 0; j != similar.cols; ++j) {
            vec_view<float const *> const x{a.values.data() + i * a.dimension, a.dimension},
                y{b.values.data() + j * b.dimension, b.dimension};
            similar(i, j) = static_cast<float>(ops::dot(be, x, y) / std::sqrt(ops::dot(be, x, x) * ops::dot(be, y, y)));
        }
    evaluate::worfeval_scorer scorer;
    auto const score = scorer.reference({&said, &gold, std::as_const(similar).view()});
    double const values[] = {score.node.score.precision,  score.node.score.recall,  score.node.score.f1,
                             score.graph.score.precision, score.graph.score.recall, score.graph.score.f1};
    say<float>("evaluate: similarities", similar.values);
    say<double>("evaluate: WorFEval", values);
}
} // namespace

int main() {
    for (std::size_t const threads : {1u, 3u}) {
        host_backend be(threads);
        merging(be);
        adapters(be);
        clusters(be);
        watermarks(be);
        evaluation(be);
    }
}
