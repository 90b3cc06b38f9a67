#include "text/field_tree.h"

#include <stdexcept>

namespace textmill::text {

FieldTree::FieldTree(std::span<const FieldPath> fields) : num_fields_(fields.size()) {
    if (fields.empty()) {
        throw std::invalid_argument("no field is asked for");
    }
    for (size_t field = 0; field < fields.size(); ++field) {
        size_t node = 0;
        for (const std::string& key : fields[field]) {
            node = child_of(node, key);
        }
        if (node == 0) {
            throw std::invalid_argument("a field has no key");
        }
        if (nodes_[node].field != kNone) {
            throw std::invalid_argument("a field is asked for twice");
        }
        nodes_[node].field = field;
    }
}

size_t FieldTree::child_of(size_t node, const std::string& key) {
    if (const size_t known = find(node, key); known != kNone) {
        return known;
    }
    if (nodes_.size() == kMaxNodes) {
        throw std::invalid_argument("more than " + std::to_string(kMaxNodes) + " keys are asked for");
    }
    nodes_.push_back({key, kNone, {}});
    nodes_[node].children.push_back(nodes_.size() - 1);
    return nodes_.size() - 1;
}

}  // namespace textmill::text
