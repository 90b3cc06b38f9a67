#include "text/hashed_ngrams.h"

#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "text/folded_words.h"
#include "text/word_classes.h"
#include "tokenizer/parallel.h"

namespace textmill::text {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 20;

// Every bit of the state counts for every bit of the hash (the finalizer of SplitMix64).
uint64_t avalanche(uint64_t state) {
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
    return state ^ (state >> 31);
}

// Calls sink(hash) for each run of a symbol, between words.
template <typename Sink>
void each_symbol(std::string_view between, Sink& sink) {
    if (between.size() == 1 && between[0] == ' ') [[likely]] {
        return;
    }
    const WordClassTable& classes = word_classes();
    for (size_t at = 0; at < between.size();) {
        const tokenizer::Char character = tokenizer::char_at(between, at);
        const bool is_symbol = classes[character.code_point] == WordClass::kSymbol;
        do {
            at += character.num_bytes;
        } while (at < between.size() && tokenizer::char_at(between, at).code_point == character.code_point);
        if (is_symbol) {
            sink(avalanche(~uint64_t{character.code_point}));
        }
    }
}

// Calls sink(hash) for each word or run of a symbol.
template <typename Sink>
void each_token(std::string_view text, Sink&& sink) {
    size_t end = 0;
    each_folded_word(text, [&](const FoldedWord& word) {
        each_symbol(text.substr(end, word.begin - end), sink);
        sink(word.hash);
        end = word.end;
    });
    each_symbol(text.substr(end), sink);
}

// Calls sink(bucket) once for each distinct bucket of a text.
class BucketReader {
  public:
    BucketReader(size_t num_buckets, size_t max_ngram)
        : seen_in_(num_buckets, 0), last_(max_ngram), shift_(64 - std::countr_zero(num_buckets)) {}

    template <typename Sink>
    void read(std::string_view text, Sink&& sink) {
        if (++text_ == 0) {
            seen_in_.assign(seen_in_.size(), 0);
            text_ = 1;
        }
        size_t num_tokens = 0;
        const size_t max_ngram = last_.size();
        each_token(text, [&](uint64_t token) {
            for (size_t n = max_ngram - 1; n > 0; --n) {
                last_[n] = last_[n - 1] * kFactor + token;
            }
            last_[0] = token;
            ++num_tokens;
            for (size_t n = 0; n < max_ngram && n < num_tokens; ++n) {
                const auto bucket = static_cast<uint32_t>(avalanche(last_[n] + n) >> shift_);
                if (seen_in_[bucket] != text_) {
                    seen_in_[bucket] = text_;
                    sink(bucket);
                }
            }
        });
    }

  private:
    static constexpr uint64_t kFactor = 0xD6E8FEB86659FD93;
    std::vector<uint32_t> seen_in_;  // the last text that has a bucket
    std::vector<uint64_t> last_;     // hash of the last n + 1 tokens
    uint32_t text_ = 0;
    int shift_;
};

void check(std::span<const std::string_view> texts, size_t num_buckets, size_t max_ngram) {
    if (!std::has_single_bit(num_buckets) || num_buckets < 2 || num_buckets > (size_t{1} << 30)) {
        throw std::invalid_argument("the number of buckets must be a power of two from 2 to 2^30");
    }
    if (max_ngram < 1 || max_ngram > 8) {
        throw std::invalid_argument("n-grams must have 1 to 8 words");
    }
    for (const std::string_view text : texts) {
        if (text.size() > std::numeric_limits<uint32_t>::max()) {
            throw std::invalid_argument("a text is longer than 4 GiB");
        }
    }
}

std::vector<size_t> task_ends(std::span<const std::string_view> texts) {
    std::vector<size_t> ends;
    size_t num_bytes = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
        num_bytes += texts[i].size();
        if (num_bytes >= kTaskBytes || i + 1 == texts.size()) {
            ends.push_back(i + 1);
            num_bytes = 0;
        }
    }
    return ends;
}

// Calls read(reader, text number, task) for each text, on threads with a reader each.
template <typename Read>
void read_all(const std::vector<size_t>& ends, size_t num_buckets, size_t max_ngram, unsigned num_threads,
              Read&& read) {
    const unsigned threads = tokenizer::threads_for(num_threads, ends.size());
    std::vector<BucketReader> readers(threads, BucketReader(num_buckets, max_ngram));
    tokenizer::run_tasks(ends.size(), threads, [&](size_t task, unsigned thread) {
        for (size_t i = task == 0 ? 0 : ends[task - 1]; i < ends[task]; ++i) {
            read(readers[thread], i, task);
        }
    });
}

}  // namespace

BucketRows hashed_ngrams(std::span<const std::string_view> texts, size_t num_buckets, size_t max_ngram,
                         unsigned num_threads) {
    check(texts, num_buckets, max_ngram);
    const std::vector<size_t> ends = task_ends(texts);
    std::vector<std::vector<uint32_t>> parts(ends.size());
    BucketRows rows{std::vector<int64_t>(texts.size() + 1, 0), {}};
    read_all(ends, num_buckets, max_ngram, num_threads, [&](BucketReader& reader, size_t i, size_t task) {
        const size_t before = parts[task].size();
        reader.read(texts[i], [&part = parts[task]](uint32_t bucket) { part.push_back(bucket); });
        rows.starts[i + 1] = static_cast<int64_t>(parts[task].size() - before);
    });
    for (size_t i = 0; i < texts.size(); ++i) {
        rows.starts[i + 1] += rows.starts[i];
    }
    rows.buckets.reserve(static_cast<size_t>(rows.starts.back()));
    for (std::vector<uint32_t>& part : parts) {
        rows.buckets.insert(rows.buckets.end(), part.begin(), part.end());
        part = {};
    }
    return rows;
}

std::vector<float> linear_scores(std::span<const std::string_view> texts, std::span<const float> weights, float bias,
                                 size_t max_ngram, unsigned num_threads) {
    check(texts, weights.size(), max_ngram);
    std::vector<float> scores(texts.size());
    read_all(task_ends(texts), weights.size(), max_ngram, num_threads, [&](BucketReader& reader, size_t i, size_t) {
        double sum = 0;
        size_t num_buckets = 0;
        reader.read(texts[i], [&](uint32_t bucket) {
            sum += double{weights[bucket]};
            ++num_buckets;
        });
        const double norm = num_buckets == 0 ? 1 : std::sqrt(static_cast<double>(num_buckets));
        scores[i] = static_cast<float>(double{bias} + sum / norm);
    });
    return scores;
}

}  // namespace textmill::text
