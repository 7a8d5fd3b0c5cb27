"""Servers, runs and results of the lab, and the threads that execute them."""
