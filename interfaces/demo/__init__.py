"""Makes a small bank to look at, out of nothing but a seed."""
