#include "text/lines.h"

namespace textmill::text {

std::string_view strip_left(std::string_view text) {
    while (!text.empty()) {
        const tokenizer::Char first = tokenizer::char_at(text, 0);
        if (!is_python_space(first.code_point)) {
            break;
        }
        text.remove_prefix(first.num_bytes);
    }
    return text;
}

std::string_view strip_right(std::string_view text) {
    while (!text.empty()) {
        size_t begin = text.size() - 1;
        while (begin > 0 && text.size() - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) {
            --begin;
        }
        const tokenizer::Char last = tokenizer::char_at(text, begin);
        if (last.num_bytes != text.size() - begin || !is_python_space(last.code_point)) {
            break;
        }
        text.remove_suffix(last.num_bytes);
    }
    return text;
}

}  // namespace textmill::text
