"""Fetch: a source's files from a folder, an archive, a URL or a catalogue, whole or not at all."""
