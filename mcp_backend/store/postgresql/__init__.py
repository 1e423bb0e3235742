"""The store on PostgreSQL, for any number of servers of one workspace."""

from mcp_backend.store.postgresql.store import Postgresql

__all__ = ["Postgresql"]
