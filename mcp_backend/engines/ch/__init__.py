"""ClickHouse: addresses, the wire, errors, the catalog, and what a statement does."""
