"""A wire tap: what a program says to PostgreSQL, listened to and judged on the way, on this machine's loopback."""
