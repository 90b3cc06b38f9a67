// NFC of any bytes: done twice it is done once, and the changes that it tells of are those that it made.
#include <vector>

#include "fuzz/fuzz_input.h"
#include "tokenizer/normalize.h"

namespace {

using namespace textmill::tokenizer;

void check_changes(std::string_view text, std::string_view normalized, const std::vector<NormalizedChange>& changes) {
    size_t to_at = 0;
    size_t from_at = 0;
    for (const NormalizedChange& change : changes) {
        FUZZ_CHECK(to_at <= change.to_begin && change.to_begin <= change.to_end && change.to_end <= normalized.size());
        FUZZ_CHECK(from_at <= change.from_begin && change.from_begin < change.from_end);
        FUZZ_CHECK(change.from_end <= text.size());
        FUZZ_CHECK(normalized.substr(to_at, change.to_begin - to_at) ==
                   text.substr(from_at, change.from_begin - from_at));
        const std::string_view from = text.substr(change.from_begin, change.from_end - change.from_begin);
        const std::string_view to = normalized.substr(change.to_begin, change.to_end - change.to_begin);
        FUZZ_CHECK(from != to && to_nfc(from) == to);
        to_at = change.to_end;
        from_at = change.from_end;
    }
    FUZZ_CHECK(normalized.substr(to_at) == text.substr(from_at));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, 1, 0);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::vector<NormalizedChange> changes;
    const std::string normalized = to_nfc(text, &changes);
    FUZZ_CHECK(normalized == to_nfc(text));
    FUZZ_CHECK(to_nfc(normalized) == normalized);
    FUZZ_CHECK((normalized == text) == changes.empty());
    check_changes(text, normalized, changes);
    const size_t prefix = nfc_prefix(text);
    FUZZ_CHECK(prefix <= size && normalized.substr(0, prefix) == text.substr(0, prefix));
    return 0;
}
