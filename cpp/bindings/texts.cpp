#include "bindings/texts.h"

#include <utility>

namespace textmill::bindings {
namespace {

nb::object utf8_of(nb::handle text) {
    PyObject* encoded = PyUnicode_AsUTF8String(text.ptr());
    if (encoded == nullptr) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) == 0) {
            throw nb::python_error();
        }
        PyErr_Clear();
        encoded = text.attr("encode")("utf-16", "surrogatepass")
                      .attr("decode")("utf-16", "replace")
                      .attr("encode")("utf-8")
                      .release()
                      .ptr();
    }
    return nb::steal(encoded);
}

}  // namespace

Text::Text(nb::handle object) {
    if (PyUnicode_Check(object.ptr()) && PyUnicode_IS_COMPACT_ASCII(object.ptr())) {
        owner_ = nb::borrow(object);
        bytes_ = {static_cast<const char*>(PyUnicode_DATA(object.ptr())),
                  static_cast<size_t>(PyUnicode_GET_LENGTH(object.ptr()))};
        return;
    }
    if (PyUnicode_Check(object.ptr())) {
        owner_ = utf8_of(object);
    } else if (PyBytes_Check(object.ptr())) {
        owner_ = nb::borrow(object);
    } else {
        throw nb::type_error("a text must be str or bytes");
    }
    bytes_ = {PyBytes_AS_STRING(owner_.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(owner_.ptr()))};
}

Texts::Texts(const nb::sequence& objects) {
    const size_t num_texts = nb::len(objects);
    texts_.reserve(num_texts);
    bytes_.reserve(num_texts);
    for (const nb::handle object : objects) {
        texts_.emplace_back(object);
        bytes_.push_back(texts_.back().bytes());
    }
}

}  // namespace textmill::bindings
