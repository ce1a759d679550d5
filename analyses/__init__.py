"""Studies: configuration in, table and report out; no plotting."""
