"""Escalations, approvals, receipts and the audit chain: named queries on SQLite."""

from mcp_backend.store.sqlite import Row, Store, open_store

__all__ = ["Row", "Store", "open_store"]
