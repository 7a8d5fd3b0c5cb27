"""Where servers live: the same story from threads and from a process, and what happens to processes."""
