"""What is kept beside the chain in audit.py: its seal outside, what nothing can take away yet, servers that died."""
