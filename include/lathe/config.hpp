#pragma once
/// \file  Version, ABI namespace and contract mode. The only header that defines macros.

/// From 1 on it rises with what may break programs. Part of the name of the ABI namespace.
#define LATHE_VERSION_MAJOR 0
/// Rises with what is added, and before 1.0 with what may break programs; below 100.
#define LATHE_VERSION_MINOR 1
/// Rises with corrections; below 100.
#define LATHE_VERSION_PATCH 0
/// The three as one number, to be compared by the preprocessor: 1.2.3 is 10203.
#define LATHE_VERSION (LATHE_VERSION_MAJOR * 10000 + LATHE_VERSION_MINOR * 100 + LATHE_VERSION_PATCH)

#ifndef __cpp_exceptions
#    error "lathe: errors are exceptions: compile without -fno-exceptions the unit that includes this"
#endif

// Infinities and NaN are data here: the NaN policy of every method relies on them.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#    error "lathe: -ffast-math (-ffinite-math-only) removes the tests for NaN that the library relies on"
#endif

/// Whether internal invariants are checked (LATHE_ASSERT): 0 or 1. Follows the build type unless it is defined before;
/// preconditions are always checked.
#ifndef LATHE_CHECKED
#    ifdef NDEBUG
#        define LATHE_CHECKED 0
#    else
#        define LATHE_CHECKED 1
#    endif
#endif

/// \def LATHE_ASSERT
/// An invariant of the library, not a precondition: where it does not hold, the defect is here. Not evaluated unless
/// LATHE_CHECKED is 1.

/// \def LATHE_ABI
/// The inline namespace that everything is in. What changes the body of an inline function is part of its name, so that
/// two translation units which disagree link to two entities and never to one undefined program.
#if LATHE_CHECKED
#    include <cassert>
#    define LATHE_ASSERT(...) assert((__VA_ARGS__))
#    define LATHE_ABI v0_checked
#else
#    define LATHE_ASSERT(...) static_cast<void>(0)
#    define LATHE_ABI v0
#endif
/// Opens namespace lathe and the inline namespace of the ABI. For the headers of the library.
#define LATHE_NAMESPACE_BEGIN                                                                                          \
    namespace lathe {                                                                                                  \
    inline namespace LATHE_ABI {
/// Closes what LATHE_NAMESPACE_BEGIN opened.
#define LATHE_NAMESPACE_END                                                                                            \
    }                                                                                                                  \
    }

/// \def LATHE_VECTOR_BYTES
/// The widest vector registers the compiler may use, in bytes: 64, 32 or 16.

/// \def LATHE_VECTOR_ABI
/// The namespace of the host kernels (core/packet.hpp), named after these registers, so that code compiled for
/// different machines can be linked together and each keeps its own instructions.
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
