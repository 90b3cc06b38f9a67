"""How fast text becomes batches."""
