"""OpenSearch's models as zips, the bodies of its requests, and the documents to feed it."""
