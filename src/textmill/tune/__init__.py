"""From a base model to one that answers: tuning on conversations, on preferences and by rewards."""
