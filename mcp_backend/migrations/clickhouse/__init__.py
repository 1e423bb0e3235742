"""Migrations of ClickHouse: rehearsed on a local chdb, applied statement by statement, each mutation to its end."""
