"""What rules say about changed code: silent failures, things written by hand, races. Python and Go."""
