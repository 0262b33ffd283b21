"""The application package for Vespa, its feed and its queries."""
