"""Shared by every wing: errors in one line, atomic files, strict CSV, the ranks of training processes."""
