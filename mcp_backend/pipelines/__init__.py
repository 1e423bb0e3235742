"""Data pipelines: who publishes what, who reads it, and which tables it ends up in."""
