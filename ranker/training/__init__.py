"""Stages distil and train: the Trainer, its batches, checkpoints and curves."""
