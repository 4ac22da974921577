"""Shows: read models, each a row and a pure function, and the runner that keeps them."""
