"""Where a server model runs: in threads of the lab or in a process of its own."""
