// One line of JSON at a time: its fields, or the finding that something about it is unusual.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "text/field_tree.h"
#include "text/json_scanner.h"

namespace textmill::text {

enum class LineKind { kRecord, kBlank, kRefused };

// Reads lines one after the other. It vouches for a record only where Python's json.loads takes the line and gives the
// fields the same values; whatever is unusual is refused, and somebody else is to look at it.
class JsonRecordReader {
  public:
    // `outputs[i]` is where the value of field i is written: as many bytes as `lines` has must have room.
    JsonRecordReader(const FieldTree& tree, std::string_view lines, std::span<char*> outputs, std::span<size_t> lengths)
        : tree_(tree), scanner_(lines), outputs_(outputs), lengths_(lengths) {}

    bool is_at_end() const { return scanner_.is_at_end(); }
    const char* position() const { return scanner_.position(); }

    // Reads the next line and goes behind its end. The values of a record lie at `outputs`, with their `lengths`.
    LineKind read_line();

  private:
    static constexpr size_t kText = 0;  // the field that must be there, and be a string

    // Each of these returns false where the line is to be refused.
    bool read_record();
    bool read_object(size_t node, int depth);
    bool read_member(size_t child, int depth);
    bool read_field(size_t field);
    bool read_key(std::string_view& key);

    const FieldTree& tree_;
    JsonScanner scanner_;
    std::span<char*> outputs_;
    std::span<size_t> lengths_;
    uint64_t seen_ = 0;      // the nodes of the tree that this record has had
    bool has_text_ = false;  // whether this record has had its text
};

}  // namespace textmill::text
