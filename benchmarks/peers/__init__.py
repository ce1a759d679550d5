"""Other libraries at the same work: each in its own environment and process, all taking turns in one run."""
