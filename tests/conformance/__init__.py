"""Conformance suite: the same scenarios for every server model."""
