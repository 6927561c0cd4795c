"""Reports out of what is kept: pages that print, and the same as JSON and CSV."""
