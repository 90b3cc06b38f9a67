// Python's str and bytes as byte strings that stay valid without the GIL.
#pragma once

#include <nanobind/nanobind.h>

#include <string_view>
#include <vector>

namespace textmill::bindings {

namespace nb = nanobind;

// The UTF-8 of a str, or bytes as they are. A lone surrogate in a str becomes U+FFFD, and a pair of them the character
// that it stands for in UTF-16. Holds a reference as long as the bytes are needed.
class Text {
  public:
    explicit Text(nb::handle object);
    std::string_view bytes() const { return bytes_; }

  private:
    nb::object owner_;
    std::string_view bytes_;
};

class Texts {
  public:
    explicit Texts(const nb::sequence& objects);
    const std::vector<std::string_view>& bytes() const { return bytes_; }

  private:
    std::vector<Text> texts_;
    std::vector<std::string_view> bytes_;
};

}  // namespace textmill::bindings
