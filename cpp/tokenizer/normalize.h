// Unicode normalisation form C of any byte string, as Hugging Face's `normalizers.NFC` makes it (Unicode UAX #15).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::tokenizer {

// A stretch of the text that became another: bytes [from_begin, from_end) of the text are now [to_begin, to_end). What
// lies between two changes is the same in both.
struct NormalizedChange {
    size_t to_begin;
    size_t to_end;
    size_t from_begin;
    size_t from_end;
};

// The first byte from which NFC may change the text, the text's size where it surely changes nothing. Most text is
// known to be in NFC by this alone and need not be copied.
size_t nfc_prefix(std::string_view text);

// The text in NFC. Bytes that are not UTF-8 stay as they are, and no character composes or is reordered across them.
// O(n log n) for any text. `changes`, where given, gets what became another, from left to right.
std::string to_nfc(std::string_view text, std::vector<NormalizedChange>* changes = nullptr);

// The first code point of a character's canonical decomposition: the letter under its marks (Hangul stays as it is).
uint32_t base_character(uint32_t code_point);

}  // namespace textmill::tokenizer
