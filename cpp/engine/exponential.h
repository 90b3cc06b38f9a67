// The exponential function, over the lanes of a tier: included after them.
#pragma once

#include "engine/inline.h"

namespace textmill::engine {
namespace {

// exp(x) within 2 units in the last place, by 2^n * p(r) with |r| <= ln(2) / 2 (Cody and Waite); 0 below -87, where
// the result would not be a normal float, and as exp(88) above that. NaN stays.
TEXTMILL_FUSED Floats exp_of(Floats x) {
    const Floats bounded = larger(all(-87.0f), smaller(all(88.0f), x));
    const Floats n = nearest_whole(multiply(bounded, all(1.44269504f)));
    Floats r = multiply_add(n, all(-0.693359375f), bounded);
    r = multiply_add(n, all(2.12194440e-4f), r);
    Floats p = all(1.9875691500e-4f);
    p = multiply_add(p, r, all(1.3981999507e-3f));
    p = multiply_add(p, r, all(8.3334519073e-3f));
    p = multiply_add(p, r, all(4.1665795894e-2f));
    p = multiply_add(p, r, all(1.6666665459e-1f));
    p = multiply_add(p, r, all(5.0000001201e-1f));
    p = add(multiply_add(p, multiply(r, r), r), all(1.0f));
    return zero_below(times_power(p, n), x, -87.0f);
}

}  // namespace
}  // namespace textmill::engine
