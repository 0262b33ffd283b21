"""Vespa's own Java code on an application package, by `harness`, and a real OpenSearch, by `opensearch`."""
