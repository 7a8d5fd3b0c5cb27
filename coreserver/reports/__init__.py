"""Reports of runs: pure functions from recorded facts to figures, sentences and verdicts."""
