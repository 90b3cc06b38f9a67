// Small functions that files for several tiers of instructions share must not be emitted by one and called by another.
#pragma once

#define TEXTMILL_INLINE inline __attribute__((always_inline))
