"""One request to a running service: where it may go, what it is, how it is sent, and what its answer is judged by."""
