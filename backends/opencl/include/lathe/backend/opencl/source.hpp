#pragma once
/// \file  The source of a kernel in OpenCL C, in two shapes.
///
/// Both do the same arithmetic in the same order, so they give the same bits: element i of a block of 4096 is added to
/// lane i mod 64, lanes in ascending order of i, then lane l + 32 to lane l, and so on by halves.
///   chunks  for processors: a work-item goes through a range of its own, in loops that the device's compiler
///           vectorises; groups of one work-item, no local memory, no barriers;
///   groups  for the rest: neighbouring work-items take neighbouring elements; a group sums up a block in local memory.
///           Right for groups of any size.
#include <lathe/backend/opencl/call.hpp>
#include <lathe/core/host.hpp>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// Lanes of a block.
inline constexpr std::size_t lanes = 64;

/// Functions that kernels call: the same bits as lathe::widen, lathe::narrow and random::uniform_stream. Bits of f64
/// are taken apart as integers, so that kernels in float need no double.
inline constexpr std::string_view prelude = R"(
#pragma OPENCL FP_CONTRACT OFF
inline float widen_bf16(ushort x) { return as_float((uint)x << 16); }
inline float widen_f16(ushort x) {
    const int m = x & 0x7fff;
    const int subnormal = as_int(as_float(m | 0x3f000000) - 0.5f);
    const int normal = (m << 13) + (112 << 23) + (m >= 0x7c00 ? 112 << 23 : 0);
    return as_float(((int)(x & 0x8000) << 16) | (m < 0x400 ? subnormal : normal));
}
inline ushort float_to_bf16(float x) {
    const uint u = as_uint(x);
    const uint r = u + 0x7fffu + (u >> 16 & 1u);
    return (ushort)(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : r) >> 16);
}
inline ushort float_to_f16(float x) {
    const uint u = as_uint(x), m = u & 0x7fffffffu;
    const uint subnormal = as_uint(as_float(m < 0x38800000u ? m : 0u) + 0.5f) - 0x3f000000u;
    const uint normal = (m - (112u << 23) + 0xfffu + (m >> 13 & 1u)) >> 13;
    const uint special = m > 0x7f800000u ? 0x7e00u | (m >> 13 & 0x3ffu) : 0x7c00u;
    return (ushort)((u >> 16 & 0x8000u) | (m >= 0x477ff000u ? special : m < 0x38800000u ? subnormal : normal));
}
inline float narrow_f64(ulong u) {
    const uint sign = (uint)(u >> 32) & 0x80000000u;
    const ulong m = u & 0x7fffffffffffffffUL;
    if (m > 0x7ff0000000000000UL)
        return as_float(sign | 0x7fc00000u | ((uint)(m >> 29) & 0x3fffffu));
    if (m >= 0x47effffff0000000UL)
        return as_float(sign | 0x7f800000u);
    if (m >= 0x3810000000000000UL)
        return as_float(sign | (uint)((m - (896UL << 52) + 0xfffffffUL + (m >> 29 & 1UL)) >> 29));
    const uint exponent = (uint)(m >> 52);
    if (exponent < 872u)
        return as_float(sign);
    const uint shift = 926u - exponent;
    const ulong digits = (m & 0xfffffffffffffUL) | 1UL << 52;
    return as_float(sign | (uint)((digits + (1UL << (shift - 1u)) - 1UL + (digits >> shift & 1UL)) >> shift));
}
inline ulong widen_f32(float x) {
    const uint u = as_uint(x), m = u & 0x7fffffffu;
    const ulong sign = (ulong)(u & 0x80000000u) << 32;
    if (m >= 0x7f800000u)
        return sign | 0x7ff0000000000000UL | (ulong)(m & 0x7fffffu) << 29;
    if (m >= 0x800000u)
        return sign | (((ulong)m << 29) + (896UL << 52));
    if (m == 0u)
        return sign;
    const uint shift = clz(m) - 8u;
    return sign | (ulong)((m << shift) & 0x7fffffu) << 29 | (ulong)(897u - shift) << 52;
}
inline ushort get2(__global const uchar * p, ulong i) {
    p += 2 * i;
    return (ushort)(p[0] | p[1] << 8);
}
inline uint get4(__global const uchar * p, ulong i) { return (uint)get2(p, 2 * i) | (uint)get2(p, 2 * i + 1) << 16; }
inline ulong get8(__global const uchar * p, ulong i) { return (ulong)get4(p, 2 * i) | (ulong)get4(p, 2 * i + 1) << 32; }
inline void put2(__global uchar * p, ulong i, ushort x) {
    p += 2 * i;
    p[0] = (uchar)x;
    p[1] = (uchar)(x >> 8);
}
inline void put4(__global uchar * p, ulong i, uint x) {
    put2(p, 2 * i, (ushort)x);
    put2(p, 2 * i + 1, (ushort)(x >> 16));
}
inline void put8(__global uchar * p, ulong i, ulong x) {
    put4(p, 2 * i, (uint)x);
    put4(p, 2 * i + 1, (uint)(x >> 32));
}
typedef struct {
    uint a, b, c, d, k0, k1;
} philox;
inline philox philox_round(philox s) {
    const ulong p0 = (ulong)0xD2511F53u * s.a, p1 = (ulong)0xCD9E8D57u * s.c;
    philox r;
    r.a = (uint)(p1 >> 32) ^ s.b ^ s.k0;
    r.b = (uint)p1;
    r.c = (uint)(p0 >> 32) ^ s.d ^ s.k1;
    r.d = (uint)p0;
    r.k0 = s.k0 + 0x9E3779B9u;
    r.k1 = s.k1 + 0xBB67AE85u;
    return r;
}
inline philox philox_of(ulong quad, ulong seed, ulong purpose) {
    philox s = {(uint)quad, (uint)(quad >> 32), (uint)purpose, 0, (uint)seed, (uint)(seed >> 32)};
    s = philox_round(philox_round(philox_round(philox_round(philox_round(s))))); // no loop: it would not be vectorised
    return philox_round(philox_round(philox_round(philox_round(philox_round(s)))));
}
inline float fraction(uint word) { return (float)(word >> 8) * 0x1p-24f; }
inline float uniform(ulong i, ulong seed, ulong purpose) {
    const philox s = philox_of(i >> 2, seed, purpose);
    const uint lane = (uint)i & 3u;
    return fraction(lane == 0u ? s.a : lane == 1u ? s.b : lane == 2u ? s.c : s.d);
}
)";
/// What depends on T, behind the prelude: for kernels in float.
inline constexpr std::string_view prelude_float = R"(
typedef float T;
inline ushort narrow_bf16(float x) { return float_to_bf16(x); }
inline ushort narrow_f16(float x) { return float_to_f16(x); }
)";
/// The same for kernels in double.
inline constexpr std::string_view prelude_double = R"(
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
typedef double T;
inline float round_to_odd(double x) {
    const float nearest = convert_float_rte(x);
    const uint away = x < 0 ? (double)nearest < x : (double)nearest > x;
    return (double)nearest == x || x != x ? nearest : as_float((as_uint(nearest) - away) | 1u);
}
inline ushort narrow_bf16(double x) { return float_to_bf16(round_to_odd(x)); }
inline ushort narrow_f16(double x) { return float_to_f16(round_to_odd(x)); }
)";

/// What tracing a kernel gave. Values by their names in the body.
struct traced {
    std::string body;                                       ///< statements, `i` being the element
    std::vector<std::size_t> outputs;                       ///< the values of the outputs
    std::vector<std::pair<std::size_t, std::size_t>> terms; ///< sum, and a value that is added to it
};

/// Calls the kernel on symbols. `Sums` says whether it takes a sums argument, Outputs how many values it returns.
template <real T, bool Sums, std::size_t Outputs, class Kernel, class... Ins>
traced trace(Kernel const & kernel, access<T> const & reach, Ins const &... ins) {
    tracer statements;
    traced result;
    auto next = Outputs;
    // Braces: the operands are numbered in order.
    std::tuple<decltype(reach.symbols_of(ins, next))...> const operands{reach.symbols_of(ins, next)...};
    std::apply([&](auto const &... operand) {
        auto const run = [&] {
            if constexpr (Sums) {
                sums_recorder<T> sums(result.terms);
                return kernel(sums, operand...);
            } else
                return kernel(operand...);
        };
        if constexpr (Outputs == 0)
            run();
        else if constexpr (Outputs == 1)
            result.outputs.push_back(symbol<T>(run()).value());
        else
            for (auto const values = run(); auto const & value : values)
                result.outputs.push_back(symbol<T>(value).value());
    }, operands);
    result.body = statements.source("        ");
    return result;
}

/// The source of `lathe_kernel`, which computes the outputs if `stores`, and those of the sums that are in `sums`.
template <real T>
[[gnu::noinline]] std::string source_of(traced const & kernel, access<T> const & reach, std::span<slot const> slots,
                                        std::size_t outputs, bool tables, kernel_shape shape,
                                        std::span<std::size_t const> sums, bool stores) {
    auto const text = [](auto n) { return std::to_string(n); };
    std::string s;
    if (sizeof(T) == 8)
        s.append("#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    s.append(prelude).append(sizeof(T) == 8 ? prelude_double : prelude_float);
    s.append("__kernel void lathe_kernel(const ulong n, const ulong share");
    if (!sums.empty())
        s.append(", __global T * partial");
    if (tables)
        s.append(", __global const uchar * lists, const ulong stride, __global const T * numbers, "
                 "__global const ulong * streams");
    for (std::size_t k = 0; k != slots.size(); ++k) {
        auto const id = text(k);
        if (slots[k].what == slot::kind::elements && !reach.gathered(slots[k]))
            s.append(k < outputs ? ",\n    __global uchar * p" : ",\n    __global const uchar * p")
                .append(id)
                .append(", const ulong o")
                .append(id);
        else if (slots[k].what == slot::kind::number && !tables)
            s.append(",\n    const T s").append(id);
        else if (slots[k].what == slot::kind::stream && !tables)
            s.append(",\n    const ulong k" + id + ", const ulong w" + id + ", const ulong f" + id);
    }
    s.append(") {\n");
    for (std::size_t k = 0; k != slots.size(); ++k)
        if (slots[k].what == slot::kind::elements) {
            auto const type = (k < outputs ? "__global " : "__global const ") + reach.element(slots[k]) + " * ";
            s.append("    " + type + "x" + text(k) + " = (" + type + ")(");
            if (reach.gathered(slots[k]))
                s.append("lists + stride * " + text(slots[k].ordinal));
            else
                s.append("p" + text(k) + " + o" + text(k));
            s.append(");\n");
        }

    // What is done for element i; `lane` gives an accumulator of a sum.
    auto const element = [&](auto const & accumulator) {
        auto body = kernel.body;
        for (auto const & [sum, value] : kernel.terms)
            if (auto const at = std::ranges::find(sums, sum); at != sums.end())
                body.append("        " + accumulator(static_cast<std::size_t>(at - sums.begin()))
                            + " += " + tracer::name(value) + ";\n");
        if (stores)
            for (std::size_t k = 0; k != outputs; ++k)
                body.append("        " + reach.store(k, tracer::name(kernel.outputs[k])) + "\n");
        return body;
    };
    auto const block = text(host::reduction_block), width = text(lanes), count = text(sums.size());
    // Elements of different numbers do not meet, whatever the pointers are.
    std::string const independent = "#ifdef __clang__\n#pragma clang loop vectorize(assume_safety)\n#endif\n";
    // Chunks make the numbers of streams for a tile of elements at once, four by four: u[d + lane] from here on.
    auto const tiles = [&](std::string const & first, std::size_t tile) {
        std::string made;
        for (std::size_t k = 0; k != slots.size(); ++k) {
            if (slots[k].what != slot::kind::stream)
                continue;
            auto const id = text(k), quads = text(tile / 4 + 1);
            auto const [seed, purpose, begin] = reach.stream(k);
            made.append("        float u" + id + "[4 * " + quads + "];\n        const ulong q" + id + " = " + begin
                        + " + " + first + ";\n        const uint d" + id + " = (uint)q" + id + " & 3u;\n" + independent
                        + "        for (uint q = 0; q < " + quads
                        + "; ++q) {\n            const philox s = philox_of((q" + id + " >> 2) + q, " + seed + ", "
                        + purpose + ");\n");
            for (char const * const word : {"a", "b", "c", "d"})
                made.append("            u" + id + "[4 * q + " + text(word[0] - 'a') + "] = fraction(s." + word
                            + ");\n");
            made.append("        }\n");
        }
        return made;
    };
    bool const streams = std::ranges::any_of(slots, [](auto const & slot) { return slot.what == slot::kind::stream; });
    auto const no_sum = [](std::size_t) { return std::string{}; };
    if (sums.empty() && shape == kernel_shape::chunks && streams)
        s.append("    const ulong begin = get_global_id(0) * share, end = min(n, begin + share);\n"
                 "    for (ulong base = begin; base < end; base += 256) {\n"
                 + tiles("base", 256) + "        const uint count = (uint)min((ulong)256, end - base);\n" + independent
                 + "        for (uint lane = 0; lane < count; ++lane) {\n        const ulong i = base + lane;\n"
                 + element(no_sum) + "        }\n    }\n");
    else if (sums.empty() && shape == kernel_shape::chunks)
        s.append("    const ulong begin = get_global_id(0) * share, end = min(n, begin + share);\n" + independent
                 + "    for (ulong i = begin; i < end; ++i) {\n" + element(no_sum) + "    }\n");
    else if (sums.empty())
        s.append("    for (ulong i = get_global_id(0); i < n; i += get_global_size(0)) {\n" + element(no_sum)
                 + "    }\n");
    else if (shape == kernel_shape::chunks) {
        auto const lane = [&](std::size_t k) { return "a" + text(k) + "[lane]"; };
        s.append("    const ulong begin = get_global_id(0) * share, end = min(n, begin + share);\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("    T a" + text(k) + "[" + width + "];\n");
        s.append("    for (ulong base = begin; base < end; base += " + block + ") {\n"
                 + "        const uint count = (uint)min((ulong)" + block + ", end - base);\n"
                 + "        for (uint lane = 0; lane < " + width + "; ++lane) {\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("            " + lane(k) + " = 0;\n");
        s.append("        }\n");
        // A short body is said twice, for whole rows and for what is left; a long one takes too long to compile for
        // that.
        if (kernel.body.size() > 2000)
            s.append("        for (uint row = 0; row < count; row += " + width + ") {\n"
                     + "        const uint live = min((uint)" + width + ", count - row);\n" + tiles("base + row", lanes)
                     + independent + "        for (uint lane = 0; lane < live; ++lane) {\n"
                     + "        const ulong i = base + row + lane;\n" + element(lane) + "        }\n        }\n");
        else
            s.append("        uint row = 0;\n        for (; row + " + width + " <= count; row += " + width + ") {\n"
                     + tiles("base + row", lanes) + independent + "        for (uint lane = 0; lane < " + width
                     + "; ++lane) {\n" + "        const ulong i = base + row + lane;\n" + element(lane)
                     + "        }\n        }\n" + "        if (row != count) {\n" + tiles("base + row", lanes)
                     + "        for (uint lane = 0; lane < count - row; ++lane) {\n"
                     + "        const ulong i = base + row + lane;\n" + element(lane) + "        }\n        }\n");
        s.append("        for (uint half_ = " + text(lanes / 2) + "; half_ != 0; half_ >>= 1)\n"
                 + "            for (uint lane = 0; lane < half_; ++lane) {\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("                a" + text(k) + "[lane] += a" + text(k) + "[lane + half_];\n");
        s.append("            }\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("        partial[base / " + block + " * " + count + " + " + text(k) + "] = a" + text(k)
                     + "[0];\n");
        s.append("    }\n");
    } else {
        auto const private_sum = [&](std::size_t k) { return "a" + text(k); };
        s.append("    __local T part[" + text(sums.size() * lanes) + "];\n"
                 + "    const uint item = (uint)get_local_id(0), items = (uint)get_local_size(0);\n"
                 + "    for (ulong base = get_group_id(0) * (ulong)" + block
                 + "; base < n; base += get_num_groups(0) * (ulong)" + block
                 + ") {\n        const ulong end = min(n, base + " + block + ");\n"
                 + "        for (uint lane = item; lane < " + width + "; lane += items) {\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("        T a" + text(k) + " = 0;\n");
        s.append("        for (ulong i = base + lane; i < end; i += " + width + ") {\n" + element(private_sum)
                 + "        }\n");
        for (std::size_t k = 0; k != sums.size(); ++k)
            s.append("        part[" + text(k * lanes) + " + lane] = a" + text(k) + ";\n");
        s.append("        }\n        barrier(CLK_LOCAL_MEM_FENCE);\n        for (uint half_ = " + text(lanes / 2)
                 + "; half_ != 0; half_ >>= 1) {\n            for (uint x = item; x < half_ * " + count
                 + "; x += items) {\n                const uint at = x / half_ * " + width
                 + " + x % half_;\n                part[at] += part[at + half_];\n            }\n"
                 + "            barrier(CLK_LOCAL_MEM_FENCE);\n        }\n        for (uint x = item; x < " + count
                 + "; x += items)\n            partial[base / " + block + " * " + count + " + x] = part[x * " + width
                 + "];\n        barrier(CLK_LOCAL_MEM_FENCE);\n    }\n");
    }
    return s.append("}\n");
}

} // namespace opencl
LATHE_NAMESPACE_END
