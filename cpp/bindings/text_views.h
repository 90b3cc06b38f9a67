// Texts side by side in one buffer (textmill.text.text_batch), as views that stay valid while the arrays do.
#pragma once

#include <stdexcept>
#include <string_view>
#include <vector>

#include "bindings/arrays.h"

namespace textmill::bindings {

// Text i is data[offsets[i]] to data[offsets[i + 1]]. Throws std::invalid_argument where offsets leave the data.
inline std::vector<std::string_view> text_views(const View1<uint8_t>& data, const View1<int64_t>& offsets) {
    if (offsets.size() == 0) {
        throw std::invalid_argument("offsets must have one more entry than there are texts, and is empty");
    }
    const int64_t* const ends = offsets.data();
    const auto num_bytes = static_cast<int64_t>(data.size());
    std::vector<std::string_view> texts(offsets.size() - 1);
    for (size_t i = 0; i < texts.size(); ++i) {
        if (ends[i] < 0 || ends[i] > ends[i + 1] || ends[i + 1] > num_bytes) {
            throw std::invalid_argument("offsets must rise from 0 to the length of data");
        }
        texts[i] = {reinterpret_cast<const char*>(data.data()) + ends[i], static_cast<size_t>(ends[i + 1] - ends[i])};
    }
    return texts;
}

}  // namespace textmill::bindings
