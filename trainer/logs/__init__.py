"""What a run writes beside its checkpoint: metrics.csv, samples, best.pth, plots."""
