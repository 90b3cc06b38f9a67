"""Files of tokenizers, one module a format: what cannot be reproduced exactly is refused by the name of the feature."""
