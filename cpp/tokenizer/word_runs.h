// Sorted lists of words and their counts on disk: where counting puts what memory cannot hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tokenizer/word_counts.h"

namespace textmill::tokenizer {

// The folder for words on disk cannot be written to or read from.
class SpillError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Words in the order of their bytes in a file without a name: the system removes it whatever becomes of the process.
class WordRun {
  public:
    explicit WordRun(const std::string& folder);

    void append(const WordCount& word);

    size_t num_words() const { return num_words_; }
    uint64_t num_bytes() const { return num_bytes_; }

    // Goes back to the first word.
    void rewind();

    // Moves to the next word, valid until the next call; false at the end.
    bool next();
    WordCount word() const { return {bytes_, count_}; }

  private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void check(bool is_done, const char* what) const;

    std::string folder_;
    std::unique_ptr<std::FILE, Close> file_;
    size_t num_words_ = 0;
    uint64_t num_bytes_ = 0;
    std::string bytes_;
    uint64_t count_ = 0;
};

// Calls visit for each word of several runs, in the order of bytes, the counts of equal words added up.
void merge_runs(std::vector<WordRun>& runs, const std::function<void(const WordCount&)>& visit);

// All that was spilled. Runs of one level are merged into one of the next when there are kFanIn of them, so that few
// files are open and no word is written more often than the logarithm of the number of spills.
class WordSpill {
  public:
    explicit WordSpill(std::string folder) : folder_(std::move(folder)) {}

    // Writes a table's words to disk and empties it.
    void add(WordCounts& counts);

    // The words of all runs in one, ready to be read from its first word. Leaves the spill empty.
    WordRun merged();

    size_t num_runs() const { return num_runs_; }
    uint64_t num_bytes() const { return num_bytes_; }

  private:
    static constexpr size_t kFanIn = 32;

    WordRun merge(std::vector<WordRun> runs) const;

    std::string folder_;
    std::vector<std::vector<WordRun>> levels_;
    size_t num_runs_ = 0;
    uint64_t num_bytes_ = 0;  // written by add()
};

}  // namespace textmill::tokenizer
