"""THE CONTRACT between training and serving: tokens, the layout of a pair, batches of like lengths."""
