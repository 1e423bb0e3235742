"""What an operation asks of those who call it: the ways in, and their scopes."""

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.finding import Found
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.tree import Node

_URLS = (("authorizationUrl", "oauth-url"), ("tokenUrl", "oauth-token-url"), ("refreshUrl", "oauth-refresh-url"))


def security(old: Api, new: Api, one: Operation, two: Operation, found: Found) -> None:
    """Notes what is asked for now and was not."""
    before, after = ways(old, one), ways(new, two)
    open_before, open_after = not before or frozenset() in before, not after or frozenset() in after
    lost = [w for w in before if not any(a <= w for a in after)]
    if open_before and not open_after:
        found.say("api-security-added", "breaking", two.name, "public", _worded(after), two.name)
    elif not open_before and not open_after and lost:
        if len(lost) == len(before) and all(any(w < a for w in before) for a in after):
            found.say("api-security-added", "breaking", two.name, _worded(before), _worded(after), two.name)
        else:
            found.say(
                "api-security-alternative-removed", "breaking", two.name, _worded(lost), "no longer enough", two.name
            )
    elif not open_before and (more := _more(old, new, one, two)):
        found.say("api-security-scope-added", "risky", two.name, "not asked for", ", ".join(sorted(more)), two.name)


def schemes(old: Api, new: Api, found: Found) -> None:
    """Notes where else those who call have to get their tokens now."""
    later = _schemes(new)
    for name, node in _schemes(old).items():
        if name not in later or node.map.get("type") != later[name].map.get("type"):
            continue
        before, after = _flows(node), _flows(later[name])
        for flow in sorted(before.keys() & after.keys()):
            for key, word in _URLS:
                was, now = before[flow].get(key), after[flow].get(key)
                if was and was != now:
                    found.say(f"api-security-component-{word}-changed", "risky", name, was, now or "removed", "")
        was, now = (n.map.get("openIdConnectUrl") for n in (node, later[name]))
        if was and was != now:
            found.say("api-security-component-open-id-url-changed", "risky", name, was, now or "removed", "")


def _more(old: Api, new: Api, one: Operation, two: Operation) -> set[str]:
    """The scopes that somebody needs now and did not, whichever way they came in."""
    before, after = (list(zip(ways(api, o), _scopes(o), strict=True)) for api, o in ((old, one), (new, two)))
    found: set[str] = set()
    for way, scopes in before:
        asked = [later - scopes for other, later in after if other <= way]
        found |= min(asked, key=len, default=set[str]())
    return found


def _scopes(operation: Operation) -> list[set[str]]:
    """The scopes that each way in asks for."""
    return [{str(scope) for scopes in way.values() for scope in scopes or ()} for way in operation.security or ()]


def ways(api: Api, operation: Operation) -> list[frozenset[str]]:
    """The alternatives by what the schemes are, not by their names, which no client sees."""
    known = _schemes(api)
    found: list[frozenset[str]] = []
    for requirement in operation.security or ():
        names: set[str] = set()
        for name in requirement:
            says = known[name].map if name in known else {}
            parts = [str(says.get(key) or "").lower() for key in ("type", "scheme", "in", "name")]
            basic = ["http", "basic"] if parts[0] == "basic" else parts  # version 2.0 has a type for it
            names.add(" ".join(part for part in basic if part) or name)
        found.append(frozenset(names))
    return found


def _worded(ways: list[frozenset[str]]) -> str:
    return " or ".join(" + ".join(sorted(w)) for w in ways)


def _schemes(api: Api) -> dict[str, Node]:
    keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
    holder = api.child(api.root, *keys)
    return {name: api.child(holder, name) for name in holder.map}


_FLOWS = {"accessCode": "authorizationCode", "application": "clientCredentials"}
"""What version 2.0 called them."""


def _flows(node: Node) -> dict[str, dict[str, object]]:
    """The flows of OAuth by name."""
    if said := node.map.get("flow"):
        return {_FLOWS.get(str(said), str(said)): node.map}
    return {name: mapping(flow) for name, flow in mapping(node.map.get("flows")).items()}
