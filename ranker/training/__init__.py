"""Stage train: the Trainer, its batches, checkpoints and curves."""
