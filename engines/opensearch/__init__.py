"""A real OpenSearch, put together from Maven Central, on this machine."""
