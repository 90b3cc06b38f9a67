#include <nanobind/nanobind.h>

#include <cstdlib>

namespace nb = nanobind;

void bind_unicode(nb::module_& m);
void bind_splitter(nb::module_& m);
void bind_tokenizer(nb::module_& m);
void bind_encode_call(nb::module_& m);
void bind_trainer(nb::module_& m);
void bind_character(nb::module_& m);
void bind_normalize(nb::module_& m);
void bind_added_tokens(nb::module_& m);
void bind_block_checksums(nb::module_& m);
void bind_json_lines(nb::module_& m);
void bind_minhash(nb::module_& m);
void bind_line_edits(nb::module_& m);
void bind_text_statistics(nb::module_& m);
void bind_words(nb::module_& m);
void bind_checked_files(nb::module_& m);
void bind_best_fit(nb::module_& m);
void bind_feistel(nb::module_& m);
void bind_ngram_index(nb::module_& m);
void bind_hashed_ngrams(nb::module_& m);
void bind_engine(nb::module_& m);
void bind_training(nb::module_& m);
void bind_training_attention(nb::module_& m);

NB_MODULE(_core, m) {
    // Other libraries may hold a tokenizer to the end of the process: a test asks for these warnings, users do not.
    nb::set_leak_warnings(std::getenv("TEXTMILL_LEAK_WARNINGS") != nullptr);
    m.doc() = "The native core of textmill: byte strings and numpy arrays in, numpy arrays out.";
    bind_unicode(m);
    bind_splitter(m);
    bind_tokenizer(m);
    bind_encode_call(m);
    bind_trainer(m);
    bind_character(m);
    bind_normalize(m);
    bind_added_tokens(m);
    bind_block_checksums(m);
    bind_json_lines(m);
    bind_minhash(m);
    bind_line_edits(m);
    bind_text_statistics(m);
    bind_words(m);
    bind_checked_files(m);
    bind_best_fit(m);
    bind_feistel(m);
    bind_ngram_index(m);
    bind_hashed_ngrams(m);
    bind_engine(m);
    bind_training(m);
    bind_training_attention(m);
}
