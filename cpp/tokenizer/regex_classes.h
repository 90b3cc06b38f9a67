// What stands for one character in a regex: an escape such as \s or \p{L}, and a class such as [^a-z].
#pragma once

#include <vector>

#include "tokenizer/regex_reader.h"
#include "tokenizer/unicode.h"

namespace textmill::tokenizer {

// The characters that an escape stands for; the reader is at its backslash.
std::vector<CodePointRange> parse_escape(RegexReader& reader, bool ignore_case);

// The characters of a class; the reader is behind its [.
std::vector<CodePointRange> parse_class(RegexReader& reader, bool ignore_case);

}  // namespace textmill::tokenizer
