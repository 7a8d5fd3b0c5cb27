"""Whether the figures of a run are reliable, with the reasons."""
