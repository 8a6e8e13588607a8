"""Training data: image folders, decoding, augmentation and batches."""
