"""The commands: each module adds its own with `add(commands)`; cli.py has the list."""
