"""The local ClickHouse: chdb in a process of its own that the kernel shuts in, behind ClickHouse's HTTP interface."""
