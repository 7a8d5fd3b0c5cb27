"""What a run's records say: pure functions from recorded facts to figures, sentences and verdicts."""
