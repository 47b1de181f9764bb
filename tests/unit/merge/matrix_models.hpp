#pragma once
/// \file  Checkpoints of matrices, and the reading of them, for tests of methods that work on whole matrices.
#include "../linalg/matrices.hpp"

#include <lathe/core/checkpoint.hpp>
#include <lathe/core/convert.hpp>

namespace lathe_test {

inline void set(lathe::memory_checkpoint & c, std::string const & name, matrix<double> const & m,
                lathe::dtype type = lathe::dtype::f64) {
    lathe::tensor_info const info{name, type, {m.rows, m.cols}};
    std::vector<std::byte> bytes(info.bytes());
    lathe::host::store(type, m.values.data(), m.values.size(), bytes.data());
    c.set(info, bytes);
}
inline void set(lathe::memory_checkpoint & c, std::string const & name, std::vector<double> const & v,
                lathe::dtype type = lathe::dtype::f64) {
    lathe::tensor_info const info{name, type, {v.size()}};
    std::vector<std::byte> bytes(info.bytes());
    lathe::host::store(type, v.data(), v.size(), bytes.data());
    c.set(info, bytes);
}
/// A tensor as a matrix; what is no matrix has one row.
inline matrix<double> get(lathe::memory_checkpoint const & c, std::string_view name) {
    auto const i = c.find(name).value();
    auto const & t = c.tensors()[i];
    matrix<double> m(t.extents.size() == 2 ? t.extents[0] : 1, t.extents.size() == 2 ? t.extents[1] : t.count());
    lathe::host::load(t.type, c.bytes(i).data(), t.count(), m.values.data());
    return m;
}
/// a + b
inline matrix<double> plus(matrix<double> a, matrix<double> const & b, double factor = 1) {
    for (std::size_t i = 0; i != a.values.size(); ++i)
        a.values[i] += factor * b.values[i];
    return a;
}

} // namespace lathe_test
