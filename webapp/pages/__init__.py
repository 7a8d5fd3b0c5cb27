"""One frozen context per page."""
