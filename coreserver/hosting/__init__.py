"""Where a server model runs: in threads of the lab or in its own process."""
