// Arrays between C++ and numpy: vectors are moved out without a copy, arguments are views.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::bindings {

namespace nb = nanobind;

template <typename T>
using Array1 = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig>;
template <typename T>
using Array2 = nb::ndarray<nb::numpy, T, nb::ndim<2>, nb::c_contig>;
template <typename T>
using View1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using View2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <typename T>
nb::capsule own(std::vector<T>*& values, std::vector<T>&& moved) {
    values = new std::vector<T>(std::move(moved));
    return nb::capsule(values, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
}

template <typename T>
Array1<T> to_array(std::vector<T> moved) {
    std::vector<T>* values = nullptr;
    const nb::capsule owner = own(values, std::move(moved));
    return Array1<T>(values->data(), {values->size()}, owner);
}

// `moved` holds rows of `num_columns` one after the other.
template <typename T>
Array2<T> to_table(std::vector<T> moved, size_t num_columns) {
    std::vector<T>* values = nullptr;
    const nb::capsule owner = own(values, std::move(moved));
    return Array2<T>(values->data(), {values->size() / num_columns, num_columns}, owner);
}

inline Array1<tokenizer::TokenId> to_array(tokenizer::TokenBuffer moved) {
    auto* const ids = new tokenizer::TokenBuffer(std::move(moved));
    const nb::capsule owner(ids, [](void* p) noexcept { delete static_cast<tokenizer::TokenBuffer*>(p); });
    return Array1<tokenizer::TokenId>(ids->data(), {ids->size()}, owner);
}

inline nb::list to_list(const tokenizer::TokenId* ids, size_t count) {
    PyObject* const list = PyList_New(static_cast<Py_ssize_t>(count));
    if (list == nullptr) {
        throw nb::python_error();
    }
    for (size_t i = 0; i < count; ++i) {
        PyObject* const number = PyLong_FromUnsignedLong(ids[i]);
        if (number == nullptr) {
            Py_DECREF(list);
            throw nb::python_error();
        }
        PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), number);
    }
    return nb::steal<nb::list>(list);
}

}  // namespace textmill::bindings
