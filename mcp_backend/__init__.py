"""The backend engineer that any AI host can hire over MCP."""

__version__ = "0.1.0"
