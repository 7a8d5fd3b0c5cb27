"""Frozen settings of servers and loads: the only source of forms, JSON Schemas and checks."""
