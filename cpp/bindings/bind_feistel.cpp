#include <algorithm>
#include <array>
#include <stdexcept>

#include "bindings/arrays.h"
#include "text/feistel.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

Array1<int64_t> feistel_permute(const View1<int64_t>& numbers, uint64_t size, const View1<uint64_t>& round_keys) {
    std::array<uint64_t, textmill::text::kFeistelRounds> keys{};
    if (round_keys.size() != keys.size()) {
        throw std::invalid_argument("there must be a key for each of the 6 rounds");
    }
    std::copy_n(round_keys.data(), keys.size(), keys.begin());
    std::vector<int64_t> places(numbers.data(), numbers.data() + numbers.size());
    {
        const nb::gil_scoped_release release;
        textmill::text::permute(places, size, keys);
    }
    return to_array(std::move(places));
}

}  // namespace

void bind_feistel(nb::module_& m) {
    m.def("feistel_permute", &feistel_permute, "numbers"_a, "size"_a, "round_keys"_a,
          nb::sig("def feistel_permute(numbers: numpy.typing.NDArray[numpy.int64], size: int, round_keys: "
                  "numpy.typing.NDArray[numpy.uint64]) -> numpy.typing.NDArray[numpy.int64]"),
          "The place of each number in a keyed order of those below `size`; int64[n].");
}
