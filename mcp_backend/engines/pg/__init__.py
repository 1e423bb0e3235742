"""PostgreSQL: addresses, the wire, errors, roles, the catalog, and what a statement does."""
