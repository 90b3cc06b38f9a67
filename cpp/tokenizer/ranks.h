// Reading rank files (*.tiktoken): a line for each token, its bytes in base64, a space, and its rank.
#pragma once

#include <string_view>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// The tokens by rank, empty ones for ranks that no line has. Throws std::invalid_argument, which names the line, for
// anything that is not a token and its rank, for what is there twice, and for ranks far above the number of lines.
TokenTable parse_ranks(std::string_view file);

}  // namespace textmill::tokenizer
