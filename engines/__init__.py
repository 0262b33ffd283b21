"""Vespa's own Java code on an application package: a Maven project, and `harness`, which builds and runs it."""
