"""Servers and runs in progress; the only owner of background work in the control plane."""
