#include "text/json_record.h"

#include <algorithm>

namespace textmill::text {

LineKind JsonRecordReader::read_line() {
    scanner_.skip_spaces();
    if (scanner_.peek() == '\n') {
        scanner_.skip_line();
        return LineKind::kBlank;
    }
    const bool is_record = read_record();
    scanner_.skip_line();
    return is_record ? LineKind::kRecord : LineKind::kRefused;
}

bool JsonRecordReader::read_record() {
    seen_ = 0;
    has_text_ = false;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    if (!scanner_.take('{') || !read_object(0, 1)) {
        return false;
    }
    scanner_.skip_spaces();
    return has_text_ && scanner_.peek() == '\n';
}

bool JsonRecordReader::read_object(size_t node, int depth) {
    scanner_.skip_spaces();
    if (scanner_.take('}')) {
        return true;
    }
    do {
        std::string_view key;
        scanner_.skip_spaces();
        if (!read_key(key)) {
            return false;
        }
        scanner_.skip_spaces();
        if (!scanner_.take(':')) {
            return false;
        }
        scanner_.skip_spaces();
        const size_t child = tree_.find(node, key);
        if (!(child == FieldTree::kNone ? scanner_.skip_value(depth) : read_member(child, depth))) {
            return false;
        }
        scanner_.skip_spaces();
    } while (scanner_.take(','));
    return scanner_.take('}');
}

bool JsonRecordReader::read_member(size_t child, int depth) {
    const uint64_t bit = uint64_t{1} << child;
    if ((seen_ & bit) != 0) {
        return false;  // the last one counts, and this one is written already
    }
    seen_ |= bit;
    if (tree_[child].field != FieldTree::kNone) {
        return read_field(tree_[child].field);
    }
    if (depth < JsonScanner::kMaxDepth && scanner_.take('{')) {
        return read_object(child, depth + 1);
    }
    return scanner_.skip_value(depth);
}

bool JsonRecordReader::read_field(size_t field) {
    char* out = outputs_[field];
    const char* const begin = scanner_.position();
    if (scanner_.peek() == '"') {
        out = scanner_.read_string(out);
        if (out == nullptr) {
            return false;
        }
        has_text_ = has_text_ || field == kText;
    } else if (field == kText) {
        return false;
    } else if (scanner_.peek() == 'n') {
        return scanner_.skip_literal("null");
    } else {
        if (!scanner_.read_number()) {
            return false;
        }
        out = std::copy(begin, scanner_.position(), out);
    }
    lengths_[field] = static_cast<size_t>(out - outputs_[field]);
    return true;
}

// A key with an escape may be any other key, too.
bool JsonRecordReader::read_key(std::string_view& key) {
    const char* const begin = scanner_.position() + 1;
    if (scanner_.peek() != '"' || !scanner_.skip_string()) {
        return false;
    }
    key = {begin, static_cast<size_t>(scanner_.position() - 1 - begin)};
    return key.find('\\') == std::string_view::npos;
}

}  // namespace textmill::text
