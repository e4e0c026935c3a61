"""Training losses: one criterion per file."""
