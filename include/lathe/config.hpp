#pragma once
/// \file  Version, ABI namespace and contract mode. The only header that defines macros.

#define LATHE_VERSION_MAJOR 0
#define LATHE_VERSION_MINOR 1
#define LATHE_VERSION_PATCH 0
#define LATHE_VERSION (LATHE_VERSION_MAJOR * 10000 + LATHE_VERSION_MINOR * 100 + LATHE_VERSION_PATCH)

#ifndef __cpp_exceptions
#    error "lathe: errors are exceptions: compile without -fno-exceptions the unit that includes this"
#endif

// Infinities and NaN are data here: the NaN policy of every method relies on them.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#    error "lathe: -ffast-math (-ffinite-math-only) removes the tests for NaN that the library relies on"
#endif

// Checks of internal invariants (LATHE_ASSERT) follow the build type; preconditions are always checked.
#ifndef LATHE_CHECKED
#    ifdef NDEBUG
#        define LATHE_CHECKED 0
#    else
#        define LATHE_CHECKED 1
#    endif
#endif

// Everything that changes the body of an inline function is part of the namespace's name, so that two
// translation units which disagree link to two entities and never to one undefined program.
#if LATHE_CHECKED
#    include <cassert>
#    define LATHE_ASSERT(...) assert((__VA_ARGS__))
#    define LATHE_ABI v0_checked
#else
#    define LATHE_ASSERT(...) static_cast<void>(0)
#    define LATHE_ABI v0
#endif
#define LATHE_NAMESPACE_BEGIN                                                                                          \
    namespace lathe {                                                                                                  \
    inline namespace LATHE_ABI {
#define LATHE_NAMESPACE_END                                                                                            \
    }                                                                                                                  \
    }

// The widest vector registers the compiler may use. Names the namespace of the host kernels (core/packet.hpp),
// so that code compiled for different machines can be linked together and each keeps its own instructions.
#if defined(__AVX512F__) && defined(__FMA__) && defined(__F16C__)
#    define LATHE_VECTOR_BYTES 64
#    define LATHE_VECTOR_ABI vector64
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#    define LATHE_VECTOR_BYTES 32
#    define LATHE_VECTOR_ABI vector32
#else
#    define LATHE_VECTOR_BYTES 16
#    define LATHE_VECTOR_ABI vector16
#endif
