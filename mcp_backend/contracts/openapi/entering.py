"""What an operation asks of those who call it: the ways in, and their scopes."""

from mcp_backend.contracts.openapi.model import Api, Operation


def scopes(operation: Operation) -> set[str]:
    """The scopes that every way in asks for."""
    each = [{str(scope) for scopes in way.values() for scope in scopes or ()} for way in operation.security or ()]
    return {scope for scope in each[0] if all(scope in way for way in each)} if each else set[str]()


def ways(api: Api, operation: Operation) -> list[frozenset[str]]:
    """The alternatives by what the schemes are, not by their names, which no client sees."""
    keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
    holder = api.child(api.root, *keys)
    found: list[frozenset[str]] = []
    for requirement in operation.security or ():
        names: set[str] = set()
        for name in requirement:
            says = api.child(holder, name).map
            parts = [str(says.get(key) or "").lower() for key in ("type", "scheme", "in", "name")]
            names.add(" ".join(part for part in parts if part) or name)
        found.append(frozenset(names))
    return found
