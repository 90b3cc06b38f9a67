#pragma once

// Small functions that files for several tiers of instructions share must not be emitted by one and called by another.
#define TEXTMILL_INLINE inline __attribute__((always_inline))

// What kernels are made of becomes one loop, but under a sanitizer, where it would take minutes to compile.
#if defined(__has_feature)
#define TEXTMILL_HAS_FEATURE(name) __has_feature(name)
#else
#define TEXTMILL_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || TEXTMILL_HAS_FEATURE(address_sanitizer) || \
    TEXTMILL_HAS_FEATURE(thread_sanitizer)
#define TEXTMILL_FUSED inline
#define TEXTMILL_LAMBDA_FUSED
#else
#define TEXTMILL_FUSED inline __attribute__((always_inline))
#define TEXTMILL_LAMBDA_FUSED __attribute__((always_inline))
#endif
