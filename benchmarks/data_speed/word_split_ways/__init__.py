"""datatrove's own decisions on texts, in a process of its own."""
