"""Text as documents: where they come from, which of them are the same."""
