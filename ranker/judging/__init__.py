"""What to judge next, and the merging of what was judged."""
