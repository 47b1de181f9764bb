// SLERP: both ends, angles, branches, zero and parallel tensors, what is not finite, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/slerp.hpp>

using namespace lathe;
using lathe_test::bytes_of;
using lathe_test::contains;
using lathe_test::elements;
using merge::slerp_branch;
using vector = std::vector<double>;

namespace {

/// Two checkpoints of one tensor.
struct pair {
    memory_checkpoint a{"a"}, b{"b"}, out;
    eigen_backend be;
    pair(vector const & x, vector const & y) {
        a.set<double>("t", {x.size()}, x);
        b.set<double>("t", {y.size()}, y);
    }
    template <class T = double> vector at(double t, merge::slerp_options options = {}) {
        options.t = t;
        result = merge::slerp<T>(be, merge::model_pool(nullptr, {&a, &b}), out, options);
        return elements(out);
    }
    merge::slerp_result result;
};

} // namespace

TEMPLATE_TEST_CASE("slerp goes along the arc", "[slerp]", float, double) {
    pair p({2, 0, 0}, {0, 2, 0});
    auto const c = 2 * std::cos(0.3 * std::acos(0.0)), s = 2 * std::sin(0.3 * std::acos(0.0));
    auto const at = p.template at<TestType>(0.3);
    CHECK(at[0] == Approx(c));
    CHECK(at[1] == Approx(s));
    CHECK(at[2] == 0);
    CHECK(p.result.tensors[0].branch == slerp_branch::slerp);
    CHECK(p.result.tensors[0].dot == Approx(0).margin(1e-12));

    pair q({1, 1, 0}, {0, 3, 0}); // 45 degrees, raw lengths
    auto const theta = std::acos(std::sqrt(0.5)), left = std::sin(0.75 * theta) / std::sin(theta),
               right = std::sin(0.25 * theta) / std::sin(theta);
    auto const found = q.template at<TestType>(0.25);
    CHECK(found[0] == Approx(left));
    CHECK(found[1] == Approx(left + 3 * right));
    CHECK(q.result.tensors[0].dot == Approx(std::sqrt(0.5)));
}

TEST_CASE("the ends are the models, to the bit", "[slerp]") {
    lathe_test::models m(2, 2, 0.7);
    eigen_backend be;
    for (auto const window : {std::size_t{4096}, default_window}) {
        merge::model_pool const pool(nullptr, m.pointers, {.window = window});
        for (std::size_t k = 0; k != 2; ++k) {
            memory_checkpoint out;
            merge::slerp<double>(be, pool, out, {.t = static_cast<double>(k)});
            CHECK((elements(out) == elements(*m.all[k])));
        }
    }
}

TEST_CASE("a zero tensor counts as orthogonal", "[slerp]") {
    pair p({0, 0}, {3, 4});
    auto const at = p.at(0.5);
    CHECK(at[0] == Approx(3 * std::sqrt(0.5)));
    CHECK(at[1] == Approx(4 * std::sqrt(0.5)));
    CHECK(p.result.tensors[0].dot == 0);
    CHECK(p.result.tensors[0].branch == slerp_branch::slerp);
}

TEST_CASE("tensors that are parallel, or all but, are interpolated linearly", "[slerp]") {
    pair p({1, 2}, {2, 4}), q({1, 2}, {-2, -4}), r({1, 0}, {1, 0.1});
    CHECK(p.at(0.25) == vector{1.25, 2.5});
    CHECK(p.result.tensors[0].branch == slerp_branch::lerp);
    CHECK(q.at(0.25) == vector{0.25, 0.5});
    CHECK(q.result.tensors[0].branch == slerp_branch::lerp);
    r.at(0.5);
    CHECK(r.result.tensors[0].branch == slerp_branch::slerp);
    CHECK(r.at(0.5, {.dot_threshold = 0.99}) == vector{1, 0.05});
    CHECK(r.result.tensors[0].branch == slerp_branch::lerp);
}

TEST_CASE("what is not finite spoils its element only", "[slerp]") {
    auto const nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
    pair p({nan, 1, infinity}, {1, 3, 1});
    auto const at = p.at(0.5);
    CHECK(std::isnan(at[0]));
    CHECK(at[1] == 2);
    CHECK(at[2] == infinity);
}

TEST_CASE("t may depend on the tensor, by depth and by name", "[slerp]") {
    memory_checkpoint a, b, out;
    vector const one{1, 0}, two{0, 1};
    for (auto const * const name : {"layers.0.w", "layers.1.w", "layers.2.w", "norm"}) {
        a.set<double>(name, {2}, one);
        b.set<double>(name, {2}, two);
    }
    eigen_backend be;
    merge::model_pool const pool(nullptr, {&a, &b});
    merge::slerp<double>(be, pool, out, {.t = merge::schedule::gradient{1, 0}});
    CHECK(std::ranges::equal(out.bytes(0), b.bytes(0)));
    CHECK(std::ranges::equal(out.bytes(2), a.bytes(2)));
    CHECK(std::ranges::equal(out.bytes(3), b.bytes(3))); // outside the layers: depth 0
    CHECK_THROWS_WITH(merge::slerp(be, pool, out, {.t = std::map<std::string, double>{{"norm", 1}}}),
                      contains("layers.0.w"));
}

TEST_CASE("slerp refuses what it cannot do", "[slerp]") {
    lathe_test::models m(2, 3);
    eigen_backend be;
    memory_checkpoint out;
    CHECK_THROWS_WITH(merge::slerp(be, merge::model_pool(nullptr, m.pointers), out), contains("models"));
    merge::model_pool const pool(nullptr, {m.pointers[0], m.pointers[1]});
    CHECK_THROWS_WITH(merge::slerp(be, pool, out, {.dot_threshold = 1.5}), contains("dot_threshold"));
    CHECK_THROWS_WITH(merge::slerp(be, pool, out, {.eps = -1}), contains("eps"));
}
