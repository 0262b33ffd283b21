"""Fetch: a source's files from a folder, an archive, a URL or a catalogue; fetched whole or not at all."""
