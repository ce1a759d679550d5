"""Drawings: a study in, a matplotlib figure out; no kernels, no simulation."""
