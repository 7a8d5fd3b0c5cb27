"""The ASGI layer around the application: server, request guard, HEAD requests, problem responses."""
