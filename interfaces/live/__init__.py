"""What is told as it happens: one follower of the log, and everybody who listens."""
