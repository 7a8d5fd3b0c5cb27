"""JSON shapes of the REST API."""
