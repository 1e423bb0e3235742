"""What the repository promises to others: specifications and message contracts."""
