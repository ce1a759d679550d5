"""Infinite-width theory of natural gradient descent, checked against finite networks."""
