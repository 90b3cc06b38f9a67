"""Text to tokens and back: training, encoding, decoding, formats, chat and explanations."""
