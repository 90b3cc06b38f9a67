#include "tokenizer/train.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <utility>

#include "tokenizer/parallel.h"
#include "tokenizer/piece_ends.h"
#include "tokenizer/piece_merger.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 20;

// Under a memory limit, the least that is worth a thread.
constexpr size_t kLeastShareBytes = size_t{1} << 20;

// What learning takes beside the words, and an eighth of them.
constexpr size_t kLeastRoomBytes = size_t{1} << 18;

unsigned threads_within(const TrainerOptions& options) {
    const unsigned threads = threads_for(options.num_threads, ~size_t{0});
    const size_t limit = options.memory_limit_bytes;
    return limit == 0 ? threads : threads_for(threads, limit / kLeastShareBytes);
}

}  // namespace

// All different words, in memory or on disk, to be gone through more than once.
class Trainer::Words {
  public:
    explicit Words(WordCounts counts) : counts_(std::move(counts)) {}
    explicit Words(WordRun run) : run_(std::move(run)) {}

    bool is_in_memory() const { return !run_; }
    size_t size() const { return run_ ? run_->num_words() : counts_.size(); }
    size_t memory_bytes() const { return run_ ? 0 : counts_.memory_bytes(); }
    WordCounts& counts() { return counts_; }

    template <typename Visit>
    void for_each(const Visit& visit) {
        if (!run_) {
            counts_.for_each(visit);
            return;
        }
        run_->rewind();
        while (run_->next()) {
            visit(run_->word());
        }
    }

  private:
    WordCounts counts_;
    std::optional<WordRun> run_;
};

std::array<uint8_t, 256> bytes_in_alphabet_order() {
    const auto stands_for_itself = [](unsigned byte) {
        return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    };
    std::array<uint8_t, 256> order{};
    std::iota(order.begin(), order.end(), uint8_t{0});
    std::stable_partition(order.begin(), order.end(), stands_for_itself);
    return order;
}

Trainer::Trainer(std::shared_ptr<const Splitter> splitter, TrainerOptions options)
    : splitter_(std::move(splitter)), options_(std::move(options)), spill_(options_.spill_folder) {
    options_.num_threads = threads_within(options_);
    share_bytes_ = options_.memory_limit_bytes / options_.num_threads;
}

void Trainer::add(std::span<const std::string_view> texts) {
    const std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    const unsigned threads = threads_for(options_.num_threads, tasks.size());
    if (counts_.size() < threads) {
        counts_.resize(threads);
    }
    run_tasks(tasks.size(), threads, [&](size_t task, unsigned thread) {
        for (const TextPart& part : tasks[task]) {
            count_part(part.bytes, counts_[thread]);
        }
    });
    for (const std::string_view text : texts) {
        num_bytes_ += text.size();
    }
}

void Trainer::count_part(std::string_view text, WordCounts& counts) {
    PieceEnds found(*splitter_, text);
    std::array<Piece, PieceEnds::kMaxEnds> pieces;
    uint64_t num_pieces = 0;
    while (found.next()) {
        size_t begin = found.begin();
        for (size_t i = 0; i < found.ends().size(); ++i) {
            const size_t end = found.begin() + found.ends()[i];
            pieces[i] = {begin, end, kNoAlternative};
            begin = end;
        }
        num_pieces += found.ends().size();
        const auto batch = std::span<const Piece>(pieces).first(found.ends().size());
        if (is_limited()) {
            count_within_limit(text, batch, counts);
        } else {
            counts.add_recent(text, batch);
        }
    }
    std::atomic_ref(num_pieces_) += num_pieces;
}

// What does not fit under the memory limit goes to disk first.
void Trainer::count_within_limit(std::string_view text, std::span<const Piece> pieces, WordCounts& counts) {
    const size_t num_bytes = pieces.back().end - pieces.front().begin;
    if (counts.memory_bytes_to_add(pieces.size(), num_bytes) > share_bytes_ && counts.size() > 0) {
        const std::lock_guard lock(spill_mutex_);
        spill_.add(counts);
        counts.release();
    }
    const size_t needed_bytes = counts.memory_bytes_to_add(pieces.size(), num_bytes);
    if (needed_bytes > share_bytes_ && pieces.size() > 1) {
        count_within_limit(text, pieces.first(pieces.size() / 2), counts);
        count_within_limit(text, pieces.subspan(pieces.size() / 2), counts);
        return;
    }
    if (needed_bytes > share_bytes_) {
        throw MemoryLimitError("counting one piece of " + std::to_string(num_bytes) + " bytes in each of " +
                                   std::to_string(options_.num_threads) + " threads",
                               needed_bytes * options_.num_threads, options_.memory_limit_bytes);
    }
    counts.add(text, pieces);
}

// The words of all threads and of the disk.
Trainer::Words Trainer::put_together() {
    size_t held_bytes = 0;
    for (WordCounts& counts : counts_) {
        counts.flush();
        held_bytes += counts.memory_bytes();
    }
    // Putting tables together can take the memory of both, and of one that grows.
    const bool fits = !is_limited() || counts_.size() == 1 || 3 * held_bytes <= options_.memory_limit_bytes;
    if (spill_.num_runs() == 0 && fits) {
        while (counts_.size() > 1) {
            counts_.front().merge(counts_.back());
            counts_.pop_back();
        }
        WordCounts counts = counts_.empty() ? WordCounts() : std::move(counts_.front());
        counts_.clear();
        return Words(std::move(counts));
    }
    for (; !counts_.empty(); counts_.pop_back()) {
        spill_.add(counts_.back());
    }
    return Words(spill_.merged());
}

LearnedMerges Trainer::learn(const Lesson& lesson, const std::function<void()>& poll) {
    const Vocab base(lesson.tokens, lesson.merges, {}, lesson.whole_pieces);
    PieceEncoder pieces(base);
    std::vector<TokenId> scratch;
    const bool is_of_bytes = lesson.merges.empty() && !lesson.whole_pieces;
    const auto encode = [&](std::string_view word) {
        scratch.resize(word.size());
        if (is_of_bytes) {
            std::transform(word.begin(), word.end(), scratch.begin(),
                           [&](char byte) { return base.byte_tokens()[static_cast<uint8_t>(byte)]; });
            return std::span<const TokenId>(scratch);
        }
        return std::span<const TokenId>(scratch.data(), pieces.encode(word, scratch.data()));
    };
    Words words = put_together();
    num_words_ = words.size();
    size_t num_long_words = 0;
    size_t num_tokens = 0;
    std::vector<uint64_t> dropped(lesson.tokens.size());
    words.for_each([&](const WordCount& word) {
        const std::span<const TokenId> tokens = encode(word.bytes);
        if (tokens.size() == 1) {
            dropped[tokens[0]] += word.count;
        } else {
            ++num_long_words;
            num_tokens += tokens.size();
        }
    });
    const size_t corpus_bytes = MergeCorpus::bytes_for(num_long_words, num_tokens);
    if (is_limited() && words.is_in_memory() && words.memory_bytes() + corpus_bytes > options_.memory_limit_bytes) {
        spill_.add(words.counts());
        words = Words(spill_.merged());
    }
    if (is_limited() && corpus_bytes > options_.memory_limit_bytes) {
        throw MemoryLimitError("learning merges from " + std::to_string(num_words_) + " different pieces",
                               corpus_bytes + corpus_bytes / 8 + kLeastRoomBytes, options_.memory_limit_bytes);
    }
    MergeCorpus corpus(num_long_words, num_tokens, lesson.tokens.size());
    words.for_each([&](const WordCount& word) {
        const std::span<const TokenId> tokens = encode(word.bytes);
        if (tokens.size() > 1) {
            corpus.add_word(tokens, word.count);
        }
    });
    corpus.finish();
    words = Words(WordCounts());
    LearnedMerges learned = learn_merges(std::move(corpus),
                                         {.num_tokens = lesson.num_tokens,
                                          .min_frequency = lesson.min_frequency,
                                          .max_token_length = lesson.max_token_length,
                                          .memory_limit_bytes = options_.memory_limit_bytes,
                                          .num_threads = options_.num_threads,
                                          .tokens = lesson.tokens,
                                          .seeds = lesson.seeds,
                                          .never = lesson.never,
                                          .poll = poll},
                                         std::move(dropped));
    num_ties_ = learned.num_ties;
    token_counts_ = learned.token_counts;
    return learned;
}

}  // namespace textmill::tokenizer
