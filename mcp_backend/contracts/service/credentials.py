"""Credentials to try an application of the repository with: those that its own code or document spells out."""

import re
from collections.abc import Iterable, Mapping

from mcp_backend.contracts.openapi.model import Api

MOST = 4
_BEARER = re.compile(r"""["'`]Bearer\s+([\w.~+/=-]{1,200})["'`]""")
_TEXT = r"""["'`]([\w.~+/=-]{1,200})["'`]"""


def candidates(api: Api, given: Mapping[str, str], texts: Iterable[str]) -> list[dict[str, str]]:
    """Headers, the likeliest first. What the caller gave comes alone."""
    if given:
        return [dict(given)]
    joined = "\n".join(texts)
    found = [{"Authorization": f"Bearer {token}"} for token in dict.fromkeys(_BEARER.findall(joined))]
    for name in _key_headers(api):
        near = re.compile(rf"(?is){re.escape(name)}.{{0,80}}?(?:==|!=|\bin\b)\s*\(?\s*{_TEXT}")
        found += [{name: value} for value in dict.fromkeys(near.findall(joined))]
    return found[:MOST] or ([{"Authorization": "Bearer dev"}] if api.operations else [])


def _key_headers(api: Api) -> list[str]:
    keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
    holder = api.child(api.root, *keys)
    schemes = [api.child(holder, name).map for name in holder.map]
    return [str(s.get("name")) for s in schemes if s.get("type") == "apiKey" and s.get("in") == "header"]
