"""What is kept of calls, where, and for how long."""
