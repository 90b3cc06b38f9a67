// GCC 12's _tile_loadconfig says that it reads 8 bytes, and it reads 64 (gcc.gnu.org/PR114098). The stores of the
// others are taken for dead and left out, so that llama.cpp, built with it, stops at its first product with AMX.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#include <immintrin.h>

#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*reinterpret_cast<const char (*)[64]>(config)))
#endif
