"""Takes orders and announces them."""
