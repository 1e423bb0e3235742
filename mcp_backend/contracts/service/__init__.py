"""What an implementation really does, against what its contract says."""
