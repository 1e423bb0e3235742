"""The repository: whose a path is, what it uses, git, tests."""
