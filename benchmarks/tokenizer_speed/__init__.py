"""The tokenizer against other projects': corpora, peers, jobs in fresh processes, and the page of what was measured."""
