"""Side-by-side timings: ratios in one run, alternating, medians, with the environment beside them."""
