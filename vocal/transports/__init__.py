"""Where audio comes from. Every transport ends in the same thing: 8 kHz float32 PCM, one column a channel."""
