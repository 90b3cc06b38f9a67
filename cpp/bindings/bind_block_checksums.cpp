#include "bindings/arrays.h"
#include "text/block_checksums.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

Array1<uint64_t> block_checksums(const View1<uint8_t>& data, size_t block_bytes) {
    if (block_bytes == 0) {
        throw std::invalid_argument("block_bytes is 0, and must be 1 or more");
    }
    std::vector<uint64_t> checksums;
    {
        const nb::gil_scoped_release release;
        checksums = textmill::text::block_checksums({data.data(), data.size()}, block_bytes);
    }
    return to_array(std::move(checksums));
}

}  // namespace

void bind_block_checksums(nb::module_& m) {
    m.def("block_checksums", &block_checksums, "data"_a, "block_bytes"_a,
          nb::sig("def block_checksums(data: numpy.typing.NDArray[numpy.uint8], block_bytes: int) -> "
                  "numpy.typing.NDArray[numpy.uint64]"),
          "A checksum of 64 bits for each block of so many bytes, the last one shorter; uint64[blocks].");
}
