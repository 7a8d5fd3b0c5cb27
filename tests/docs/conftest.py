"""Fixtures of a lab over real HTTP, for documents whose commands are executed."""

from tests.webapp.conftest import lab_url, settings

__all__ = ["lab_url", "settings"]
