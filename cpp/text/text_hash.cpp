#include "text/text_hash.h"

#include "text/little_endian.h"

namespace textmill::text {
namespace {

constexpr size_t kBlockBytes = 16;
// Digits of pi behind the point, as odd numbers.
constexpr uint64_t kFirst = 0x243F6A8885A308D3;
constexpr uint64_t kSecond = 0x13198A2E03707345;
constexpr uint64_t kThird = 0xA4093822299F31D1;
constexpr uint64_t kFourth = 0x082EFA98EC4E6C89;

uint64_t folded_product(uint64_t a, uint64_t b) {
    __extension__ using Product = unsigned __int128;
    const Product product = Product{a} * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

TextHash hash_text(std::string_view text) {
    uint64_t first = kFirst;
    uint64_t second = kSecond;
    const auto add = [&](uint64_t low, uint64_t high) {
        first = folded_product(first ^ low, high ^ kThird);
        second = folded_product(second ^ high, low ^ kFourth);
    };
    const char* at = text.data();
    size_t num_left = text.size();
    for (; num_left >= kBlockBytes; at += kBlockBytes, num_left -= kBlockBytes) {
        add(word_at(at), word_at(at + 8));
    }
    add(word_at(at, num_left < 8 ? num_left : 8), num_left > 8 ? word_at(at + 8, num_left - 8) : 0);
    return {folded_product(first ^ text.size(), second ^ kThird),
            folded_product(second ^ text.size() ^ kSecond, first ^ kFourth)};
}

}  // namespace textmill::text
