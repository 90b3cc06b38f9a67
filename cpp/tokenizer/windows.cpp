#include "tokenizer/windows.h"

#include <cstdlib>
#include <stdexcept>

namespace textmill::tokenizer {
namespace {

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigits = R"(\p{N})";

// The patterns of cl100k's family differ in their piece of numbers alone.
constexpr std::string_view kCl100kBegin = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr std::string_view kCl100kEnd = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

uint8_t max_digits_of(std::string_view numbers) {
    if (numbers == R"(\p{N}{1,3})") {
        return 3;
    }
    if (numbers == R"(\p{N}{1,2})") {
        return 2;
    }
    return numbers == R"(\p{N})" ? 1 : 0;
}

}  // namespace

WindowRule window_rule_of(std::span<const std::string> stage_regexes) {
    if (stage_regexes.size() == 2 && stage_regexes[0] == kDigits && stage_regexes[1] == kGpt2) {
        return {WindowFamily::kGpt2, 1, true};
    }
    if (stage_regexes.size() != 1) {
        return {};
    }
    const std::string_view regex = stage_regexes[0];
    if (regex == kGpt2) {
        return {WindowFamily::kGpt2, 0, false};
    }
    if (regex.size() > kCl100kBegin.size() + kCl100kEnd.size() && regex.starts_with(kCl100kBegin) &&
        regex.ends_with(kCl100kEnd)) {
        const std::string_view numbers =
            regex.substr(kCl100kBegin.size(), regex.size() - kCl100kBegin.size() - kCl100kEnd.size());
        if (const uint8_t max_digits = max_digits_of(numbers)) {
            return {WindowFamily::kCl100k, max_digits, false};
        }
    }
    return {};
}

FindEnds find_ends_tier() {
    const char* const asked = std::getenv("TEXTMILL_ISA");
    const std::string_view most = asked == nullptr || *asked == '\0' ? "amx" : asked;
    if (most != "amx" && most != "avx512" && most != "avx2" && most != "portable") {
        throw std::invalid_argument("TEXTMILL_ISA is \"" + std::string(most) +
                                    "\", and may be one of: amx, avx512, avx2, portable");
    }
#if defined(__x86_64__)
    if (most != "portable" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        return find_ends_avx2;
    }
#endif
    return find_ends_portable;
}

}  // namespace textmill::tokenizer
