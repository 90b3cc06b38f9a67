#include "tokenizer/word_runs.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <utility>

namespace textmill::tokenizer {
namespace {

struct RecordHeader {
    uint64_t count;
    uint32_t num_bytes;
};
constexpr size_t kHeaderBytes = sizeof(uint64_t) + sizeof(uint32_t);

}  // namespace

WordRun::WordRun(const std::string& folder) : folder_(folder) {
    std::string path = folder + "/textmill-XXXXXX";
    const int descriptor = ::mkstemp(path.data());
    check(descriptor >= 0, "make a file");
    ::unlink(path.c_str());
    file_.reset(::fdopen(descriptor, "w+b"));
    if (!file_) {
        ::close(descriptor);
        check(false, "open a file");
    }
}

void WordRun::check(bool is_done, const char* what) const {
    if (!is_done) {
        throw SpillError(std::string("cannot ") + what + " in " + folder_ + ": " + std::strerror(errno));
    }
}

void WordRun::append(const WordCount& word) {
    const auto num_bytes = static_cast<uint32_t>(word.bytes.size());
    const bool is_written = std::fwrite(&word.count, sizeof(word.count), 1, file_.get()) == 1 &&
                            std::fwrite(&num_bytes, sizeof(num_bytes), 1, file_.get()) == 1 &&
                            std::fwrite(word.bytes.data(), 1, word.bytes.size(), file_.get()) == word.bytes.size();
    check(is_written, "write");
    ++num_words_;
    num_bytes_ += kHeaderBytes + word.bytes.size();
}

void WordRun::rewind() {
    check(std::fflush(file_.get()) == 0 && std::fseek(file_.get(), 0, SEEK_SET) == 0, "write");
}

bool WordRun::next() {
    RecordHeader header{};
    if (std::fread(&header.count, sizeof(header.count), 1, file_.get()) != 1) {
        check(std::ferror(file_.get()) == 0, "read");
        return false;
    }
    count_ = header.count;
    check(std::fread(&header.num_bytes, sizeof(header.num_bytes), 1, file_.get()) == 1, "read");
    bytes_.resize(header.num_bytes);
    check(std::fread(bytes_.data(), 1, bytes_.size(), file_.get()) == bytes_.size(), "read");
    return true;
}

void merge_runs(std::vector<WordRun>& runs, const std::function<void(const WordCount&)>& visit) {
    const auto is_later = [&runs](size_t a, size_t b) { return runs[a].word().bytes > runs[b].word().bytes; };
    std::priority_queue<size_t, std::vector<size_t>, decltype(is_later)> heads(is_later);
    for (size_t i = 0; i < runs.size(); ++i) {
        runs[i].rewind();
        if (runs[i].next()) {
            heads.push(i);
        }
    }
    std::string bytes;
    while (!heads.empty()) {
        uint64_t count = 0;
        bytes = runs[heads.top()].word().bytes;
        while (!heads.empty() && runs[heads.top()].word().bytes == bytes) {
            const size_t head = heads.top();
            heads.pop();
            count += runs[head].word().count;
            if (runs[head].next()) {
                heads.push(head);
            }
        }
        visit({bytes, count});
    }
}

void WordSpill::add(WordCounts& counts) {
    WordRun run(folder_);
    counts.drain_sorted([&run](const WordCount& word) { run.append(word); });
    ++num_runs_;
    num_bytes_ += run.num_bytes();
    for (size_t level = 0;; ++level) {
        if (level == levels_.size()) {
            levels_.emplace_back();
        }
        levels_[level].push_back(std::move(run));
        if (levels_[level].size() < kFanIn) {
            return;
        }
        run = merge(std::exchange(levels_[level], {}));
    }
}

WordRun WordSpill::merge(std::vector<WordRun> runs) const {
    WordRun result(folder_);
    merge_runs(runs, [&result](const WordCount& word) { result.append(word); });
    return result;
}

WordRun WordSpill::merged() {
    std::vector<WordRun> runs;
    for (std::vector<WordRun>& level : levels_) {
        std::move(level.begin(), level.end(), std::back_inserter(runs));
    }
    levels_.clear();
    WordRun result = merge(std::move(runs));
    result.rewind();
    return result;
}

}  // namespace textmill::tokenizer
