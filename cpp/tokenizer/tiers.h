// Functions compiled for several tiers of instructions.
#pragma once

#include <cstddef>  // for __GLIBC__

// Before a function: compile it for any x86-64, for AVX2 with BMI2 and for AVX-512; the C library picks one as it
// loads, whatever TEXTMILL_ISA says: the same statements, compiled again. Sanitizers are not ready that early.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TEXTMILL_EACH_TIER __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TEXTMILL_EACH_TIER
#endif
