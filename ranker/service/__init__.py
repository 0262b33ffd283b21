"""Search, rerank and embed over HTTP, and a page to try it on."""
