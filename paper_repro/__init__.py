"""Papers, their figures and claims, and the one script that regenerates them."""
