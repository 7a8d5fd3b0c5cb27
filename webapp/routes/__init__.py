"""Route functions: parse the request, call the lab, respond."""
