// One line of JSON at a time: its fields, or the finding that something about it is unusual.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "text/field_tree.h"

namespace textmill::text {

enum class LineKind { kRecord, kBlank, kRefused };

// Reads lines one after the other. It vouches for a record only where Python's json.loads takes the line and gives the
// fields the same values; whatever is unusual is refused, and somebody else is to look at it.
class JsonRecordReader {
  public:
    // `outputs[i]` is where the value of field i is written: as many bytes as `lines` has must have room.
    JsonRecordReader(const FieldTree& tree, std::string_view lines, std::span<char*> outputs, std::span<size_t> lengths)
        : tree_(tree), at_(lines.data()), end_(lines.data() + lines.size()), outputs_(outputs), lengths_(lengths) {}

    bool is_at_end() const { return at_ == end_; }
    const char* position() const { return at_; }

    // Reads the next line and goes behind its end. The values of a record lie at `outputs`, with their `lengths`.
    LineKind read_line();

  private:
    static constexpr int kMaxDepth = 64;            // Python's own bound depends on who calls
    static constexpr size_t kMaxNumberBytes = 256;  // int() refuses more than 4,300 digits
    static constexpr size_t kText = 0;              // the field that must be there, and be a string

    // The end of the data reads as a line's end.
    char peek() const { return at_ < end_ ? *at_ : '\n'; }
    void skip_spaces();
    void skip_line();
    bool take(char c);

    // Each of these returns false where the line is to be refused.
    bool read_record();
    bool read_object(size_t node, int depth);
    bool read_member(size_t child, int depth);
    bool read_field(size_t field);
    bool read_key(std::string_view& key);
    bool read_string(char*& out);
    bool read_escape(char*& out);
    bool read_unicode_escape(char*& out);
    bool read_hex(uint32_t& code_unit);
    bool read_number();
    bool read_digits();
    bool skip_value(int depth);
    bool skip_object(int depth);
    bool skip_array(int depth);
    bool skip_string();
    bool skip_escape();
    bool skip_literal(std::string_view literal);

    const FieldTree& tree_;
    const char* at_;
    const char* const end_;
    std::span<char*> outputs_;
    std::span<size_t> lengths_;
    uint64_t seen_ = 0;      // the nodes of the tree that this record has had
    bool has_text_ = false;  // whether this record has had its text
};

}  // namespace textmill::text
