// What the fuzz targets share: values taken from the fuzzer's bytes, a check that stops the run, and first inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::fuzz {

// Takes values from the front of an input. Past its end every value is zero and every text empty.
class FuzzInput {
  public:
    FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    bool is_empty() const { return rest_.empty(); }

    size_t take_byte() { return is_empty() ? 0 : static_cast<uint8_t>(take(1)[0]); }
    // 0 to `count` - 1; `count` is at most 256.
    size_t take_below(size_t count) { return take_byte() % count; }
    bool take_flag() { return take_below(2) == 1; }

    std::string_view take(size_t num_bytes) {
        const std::string_view taken = rest_.substr(0, num_bytes);
        rest_.remove_prefix(taken.size());
        return taken;
    }
    // A text of up to 255 bytes.
    std::string_view take_text() { return take(take_byte()); }
    // Ends where the fuzzer's buffer ends, so that a read past it is found.
    std::string_view take_rest() { return take(rest_.size()); }

  private:
    std::string_view rest_;
};

// Stops the run with the line and what does not hold.
void check(bool condition, const char* what, const char* file, int line);
#define FUZZ_CHECK(condition) textmill::fuzz::check((condition), #condition, __FILE__, __LINE__)

// Texts in which everything that a pattern or a normaliser tells apart occurs.
std::vector<std::string> sample_texts();

// Writes inputs into the first folder that the command line names, where that is empty: the samples behind every value
// below `num_first_bytes` of the byte that decides what a target does, and `header_bytes` - 1 more of it.
void write_seeds(int argc, char** argv, size_t num_first_bytes, size_t header_bytes);

}  // namespace textmill::fuzz
