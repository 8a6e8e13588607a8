"""Translation quality: feature distances, reconstruction, paired metrics, video stability."""
