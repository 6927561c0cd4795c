"""Recordings played as live calls to each door: clients, for trials and tests."""
