"""Runs: plans, supervised worker processes, and results folders."""
