"""Behind `vocal bench`: what Vocal does on this machine, beside what one would use instead."""
