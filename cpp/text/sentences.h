// Where sentences end, by their marks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace textmill::text {

// The byte behind each sentence, in order: behind a run of . ? ! … 。！？ and the quotes and brackets that close behind
// it, where white space and then no small letter follow (。！？ need neither), and at the end of the text. What is left
// after the last mark is a sentence if it is not white space. A single . ends none behind an abbreviation (Mr., e.g.)
// or a single letter (J. Smith).
void find_sentence_ends(std::string_view text, std::vector<uint32_t>& ends);

}  // namespace textmill::text
