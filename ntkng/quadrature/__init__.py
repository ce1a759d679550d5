"""Gaussian expectations `E[phi(u) phi(v)]` of activations that have no closed form, to stated accuracy."""
