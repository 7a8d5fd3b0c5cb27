"""Machinery shared by the server models: accept loop, sessions, open connections, service times."""
