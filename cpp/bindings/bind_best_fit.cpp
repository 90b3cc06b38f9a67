#include "bindings/arrays.h"
#include "text/best_fit.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

nb::tuple pack_best_fit(const View1<int64_t>& lengths, const View1<uint8_t>& overheads, int64_t context) {
    textmill::text::PackedRows rows;
    {
        const nb::gil_scoped_release release;
        rows = textmill::text::pack_best_fit({lengths.data(), lengths.size()}, {overheads.data(), overheads.size()},
                                             context);
    }
    return nb::make_tuple(to_array(std::move(rows.row_pieces)), to_array(std::move(rows.documents)),
                          to_array(std::move(rows.offsets)), to_array(std::move(rows.lengths)));
}

}  // namespace

void bind_best_fit(nb::module_& m) {
    m.def("pack_best_fit", &pack_best_fit, "lengths"_a, "overheads"_a, "context"_a,
          nb::sig("def pack_best_fit(lengths: numpy.typing.NDArray[numpy.int64], overheads: "
                  "numpy.typing.NDArray[numpy.uint8], context: int) -> tuple[numpy.typing.NDArray[numpy.int64], "
                  "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], "
                  "numpy.typing.NDArray[numpy.int64]]"),
          "Pack documents into rows: int64[rows + 1] pieces before each row; document, offset and length of each.");
}
