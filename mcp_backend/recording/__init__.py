"""What is kept of a call beside the chain in audit.py: its entries, its seal outside, and servers that died."""
