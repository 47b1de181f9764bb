#include <catch.hpp>

#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/testing/archetype.hpp>

namespace {

using namespace lathe::evaluate;
using lathe::testing::archetype;
using floor_of = lathe::testing::floor;
using in_double = archetype<floor_of::matrix_space, double>;
using in_float = archetype<floor_of::matrix_space, float>;

embedding_table random_table(std::size_t rows, std::size_t dimension) {
    embedding_table table{dimension, std::vector<float>(rows * dimension)};
    lathe::random::uniform_stream const random{7, 1};
    for (std::size_t i = 0; i != table.values.size(); ++i)
        table.values[i] = random[i] - 0.3f;
    return table;
}
/// By the definition, in more than double.
float cosine(embedding_table const & t, std::size_t a, std::size_t b) {
    long double xy = 0, xx = 0, yy = 0;
    for (std::size_t k = 0; k != t.dimension; ++k) {
        long double const x = t.row(a)[k], y = t.row(b)[k];
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    auto const c = xy / (std::max(std::sqrt(xx), 1e-12L) * std::max(std::sqrt(yy), 1e-12L));
    return static_cast<float>(std::max(c, 0.0L));
}
std::vector<similarity_request> some_requests() {
    std::vector<similarity_request> requests;
    lathe::random::uniform_stream const random{7, 2};
    std::uint64_t at = 0;
    for (std::size_t r = 0; r != 40; ++r) {
        similarity_request request;
        for (auto * const side : {&request.rows, &request.cols})
            for (auto left = static_cast<std::size_t>(random[at++] * 7); left != 0; --left)
                side->push_back(static_cast<std::size_t>(random[at++] * 60));
        requests.push_back(request);
    }
    return requests;
}

} // namespace

TEST_CASE("Cosines are the canonical ones however requests are batched, on a backend and off it") {
    auto const table = random_table(60, 33);
    auto const requests = some_requests();
    in_double be;
    in_float narrow;
    auto const check = [&](similarity_result const & result, bool on_backend) {
        CHECK(result.on_backend == on_backend);
        REQUIRE(result.matrices.size() == requests.size());
        for (std::size_t r = 0; r != requests.size(); ++r) {
            auto const & m = result.matrices[r];
            REQUIRE((m.rows == requests[r].rows.size() && m.cols == requests[r].cols.size()));
            for (std::size_t i = 0; i != m.rows; ++i)
                for (std::size_t j = 0; j != m.cols; ++j)
                    CHECK(m(i, j) == cosine(table, requests[r].rows[i], requests[r].cols[j]));
        }
    };
    auto const apart = similarities(be, table, requests, {0}), joint = similarities(be, table, requests);
    check(apart, true);
    check(joint, true);
    CHECK(apart.calls > joint.calls);
    CHECK(joint.calls == be.count("gemm") - apart.calls);
    CHECK(similarities(be, table, requests, {std::size_t(-1)}).calls == 1);
    check(similarities(narrow, table, requests), false); // no double there
    CHECK(narrow.count("gemm") == 0);
}

TEST_CASE("Cosines in single precision are close, and on the backend") {
    auto const table = random_table(60, 33);
    auto const requests = some_requests();
    in_float be;
    auto const result = similarities<float>(be, table, requests);
    CHECK(result.on_backend);
    for (std::size_t r = 0; r != requests.size(); ++r)
        for (std::size_t i = 0; i != result.matrices[r].rows; ++i)
            for (std::size_t j = 0; j != result.matrices[r].cols; ++j)
                CHECK(std::fabs(result.matrices[r](i, j) - cosine(table, requests[r].rows[i], requests[r].cols[j]))
                      < 5e-7f);
}

TEST_CASE("Rows of zeros are like nothing, NaN stays NaN, large rows do not overflow") {
    auto const big = 3e38f, nan = std::nanf("");
    embedding_table const table{2, {0, 0, 1, 1, -1, -1, big, big, nan, 1, 1e-30f, 1e-30f}};
    in_double be;
    std::vector<similarity_request> const requests{{{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}}};
    auto const m = similarities(be, table, requests).matrices[0];
    for (std::size_t i = 0; i != 4; ++i)
        CHECK(m(0, i) == 0);
    CHECK(m(1, 1) == 1);
    CHECK(m(1, 2) == 0); // not negative
    CHECK(m(1, 3) == 1);
    CHECK(std::isnan(m(4, 1)));
    CHECK(std::isnan(m(0, 4)));
    CHECK(m(5, 1) < 1e-17f); // a norm below 1e-12 counts as that
}

TEST_CASE("Requests for rows that are not there are refused; a stop leaves the rest empty") {
    auto const table = random_table(4, 3);
    in_double be;
    std::vector<similarity_request> const requests{{{0}, {1}}, {{2}, {3}}}, wrong{{{0}, {4}}};
    CHECK_THROWS_AS(similarities(be, table, wrong), lathe::shape_error);
    CHECK_THROWS_AS(similarities(be, embedding_table{3, {1, 2}}, {}), lathe::shape_error);
    struct token {
        int * asked;
        [[nodiscard]] bool stop_requested() const { return ++*asked > 1; }
    };
    int asked = 0;
    auto const result = similarities(be, table, requests, {0}, lathe::control{lathe::no_observer{}, token{&asked}});
    CHECK(result.status == lathe::status::stopped);
    CHECK(result.matrices[0].values.size() == 1);
    CHECK(result.matrices[1].values.empty());
}

TEST_CASE("The hashing embedder knows words, not their case or what stands between them") {
    std::vector<std::string> const texts{"Open the fridge", "open, the  FRIDGE!", "the fridge open", "?!",
                                         "\xc3\xa9t\xc3\xa9"};
    auto const table = hashed_embeddings(texts);
    REQUIRE(table.rows() == texts.size());
    in_double be;
    std::vector<similarity_request> const requests{{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}};
    auto const m = similarities(be, table, requests).matrices[0];
    CHECK(m(0, 1) == 1);
    CHECK(m(0, 2) < 1);
    CHECK(m(0, 2) > 0.7f); // the same words, one pair of them
    CHECK(m(3, 3) == 0);
    CHECK(m(4, 4) == 1);
    CHECK_THROWS_AS(hashed_embeddings(texts, {0}), lathe::option_error);
}
