// Which keys of a record are asked for, as a tree: "meta" and below it "url".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::text {

// Where a field stands in a record: its keys from the outermost object inwards.
using FieldPath = std::vector<std::string>;

class FieldTree {
  public:
    static constexpr size_t kMaxNodes = 64;  // a bit each in what a record has had
    static constexpr size_t kNone = SIZE_MAX;

    struct Node {
        std::string key;
        size_t field = kNone;  // which one this is; kNone where it is only on the way
        std::vector<size_t> children;
    };

    // Throws std::invalid_argument: no field, an empty path, one that is there twice, or too many.
    explicit FieldTree(std::span<const FieldPath> fields);

    const Node& operator[](size_t node) const { return nodes_[node]; }
    size_t num_fields() const { return num_fields_; }

    // The child of a node by its key; kNone where nothing below that key is asked for.
    size_t find(size_t node, std::string_view key) const {
        for (const size_t child : nodes_[node].children) {
            if (nodes_[child].key == key) {
                return child;
            }
        }
        return kNone;
    }

  private:
    size_t child_of(size_t node, const std::string& key);

    std::vector<Node> nodes_{1};
    size_t num_fields_;
};

}  // namespace textmill::text
