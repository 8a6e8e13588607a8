"""Training data: folders, decoding, augmentation, batches."""
