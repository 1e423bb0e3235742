"""Definitions and uses of names in Python, Go, TypeScript and JavaScript, by their grammars (tree-sitter)."""
