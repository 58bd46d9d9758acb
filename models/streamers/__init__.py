"""Who goes on from the first chunk: StreamingT2V, or another system of the house alone."""
