"""Stages train and retriever: the Trainer, its batches, checkpoints and curves."""
