"""Whether the figures of a run can be trusted, and the reasons."""
