// The way of Tokenizer.encode to the encoder. A call on one short text is over in a tenth of a microsecond, and a frame
// of Python or arguments by name would take a good part of that: so this one is a method of CPython's own kind.
#include <nanobind/nanobind.h>

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/encode.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::tokenizer::Encoder;
using textmill::tokenizer::TokenId;

namespace {

// The ids as numbers of Python. Each is made when it is first asked for and shared from then on: making and freeing
// them took a third of a short call.
class IdObjects {
  public:
    explicit IdObjects(size_t num_ids) : objects_(num_ids) {}
    ~IdObjects() {
        for (PyObject* const object : objects_) {
            Py_XDECREF(object);
        }
    }
    IdObjects(const IdObjects&) = delete;
    IdObjects& operator=(const IdObjects&) = delete;

    // A new list; nullptr, with Python's error set, where memory is out.
    PyObject* to_list(std::span<const TokenId> ids) {
        PyObject* const list = PyList_New(static_cast<Py_ssize_t>(ids.size()));
        for (size_t i = 0; list != nullptr && i < ids.size(); ++i) {
            PyObject*& object = objects_[ids[i]];
            if (object == nullptr && (object = PyLong_FromUnsignedLong(ids[i])) == nullptr) {
                Py_DECREF(list);
                return nullptr;
            }
            PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), Py_NewRef(object));
        }
        return list;
    }

  private:
    std::vector<PyObject*> objects_;  // by id
};

struct EncodeCall {
    nb::object owner;
    const Encoder* encoder;  // null where texts are not encoded as they stand
    std::unique_ptr<IdObjects> id_objects;
};

// The text of an argument that is short and needs no copy.
std::optional<std::string_view> short_text(PyObject* object) {
    std::string_view text;
    if (PyUnicode_Check(object) && PyUnicode_IS_COMPACT_ASCII(object)) {
        text = {static_cast<const char*>(PyUnicode_DATA(object)), static_cast<size_t>(PyUnicode_GET_LENGTH(object))};
    } else if (PyBytes_Check(object)) {
        text = {PyBytes_AS_STRING(object), static_cast<size_t>(PyBytes_GET_SIZE(object))};
    } else {
        return std::nullopt;
    }
    return text.size() <= Encoder::kMaxShortText ? std::optional(text) : std::nullopt;
}

PyObject* encode_short(EncodeCall& call, std::string_view text) {
    try {
        if (!call.id_objects) {
            call.id_objects = std::make_unique<IdObjects>(call.encoder->vocab().size());
        }
        Encoder::ShortIds ids;
        const TokenId* const end = call.encoder->encode_short(text, ids);
        return call.id_objects->to_list({ids.data(), end});
    } catch (nb::python_error& error) {  // of a pattern that Python matches
        error.restore();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

PyObject* encode(PyObject* self, PyObject* const* arguments, Py_ssize_t num_arguments, PyObject* names) {
    if (num_arguments == 1 && names == nullptr && nb::inst_ready(self)) {
        auto* const call = nb::inst_ptr<EncodeCall>(self);
        const std::optional<std::string_view> text = short_text(arguments[0]);
        if (text && call->encoder != nullptr) {
            return encode_short(*call, *text);
        }
    }
    PyObject* const other = PyObject_GetAttrString(self, "_encode");
    if (other == nullptr) {
        return nullptr;
    }
    PyObject* const ids = PyObject_Vectorcall(other, arguments, static_cast<size_t>(num_arguments), names);
    Py_DECREF(other);
    return ids;
}

PyMethodDef methods[] = {
    {"encode", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&encode)), METH_FASTCALL | METH_KEYWORDS,
     R"(encode($self, text, special='text')
--

Turn a text into token ids.

Args:
    text: str, or bytes of any kind. A lone surrogate in a str becomes U+FFFD, as in tiktoken.
    special: what becomes of the texts of special tokens: "text" takes them as ordinary text, so that no input
        can forge a control token; "parse" makes them tokens; "forbid" refuses them; a set names those to parse.

Raises:
    TypeError: the text is neither str nor bytes.
    ConfigError: ``special`` is none of these, or names no special token.
    DataError: ``special="forbid"`` and the text holds a special token.)"},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {{Py_tp_methods, methods}, {0, nullptr}};

}  // namespace

void bind_encode_call(nb::module_& m) {
    nb::class_<EncodeCall>(m, "EncodeCall", nb::type_slots(slots), "A tokenizer's `encode`, which is its `_encode`.")
        .def(
            "__init__",
            [](EncodeCall* self, nb::object encoder) {
                const bool is_encoder = nb::isinstance<Encoder>(encoder);
                new (self) EncodeCall{encoder, is_encoder ? nb::cast<const Encoder*>(encoder) : nullptr, nullptr};
            },
            "encoder"_a.none(), nb::sig("def __init__(self, encoder: Encoder | None) -> None"),
            "With an encoder, short texts go there at once where no other argument is given.");
}
