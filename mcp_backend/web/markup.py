"""Text and values from outside as HTML, and the frame of every page of the inbox."""

import json
from dataclasses import dataclass
from html import escape
from typing import cast

from mcp_backend.terminal import plain


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page: the name, and the token that its forms carry."""

    name: str
    token: str
    mark: str = ""
    """The state of the store before the page was read, so that nothing written since is missed."""


def text(value: object) -> str:
    """Text from outside as HTML: escaped, and without characters a reader does not see."""
    return escape(plain(str(value)))


def words(name: object) -> str:
    """A name such as `data_owner` as words."""
    return text(str(name).replace("_", " "))


def tag(status: object) -> str:
    """The state of something, as a label."""
    return f'<span class="tag {text(status)}">{words(status)}</span>'


def value(given: object) -> str:
    """Any JSON as lists, definitions and paragraphs."""
    if isinstance(given, dict):
        pairs = cast("dict[str, object]", given).items()
        return "<dl>" + "".join(f"<dt>{words(k)}</dt><dd>{value(v)}</dd>" for k, v in pairs) + "</dl>"
    if isinstance(given, list):
        return "<ul>" + "".join(f"<li>{value(item)}</li>" for item in cast("list[object]", given)) + "</ul>"
    said = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return f"<pre>{text(said)}</pre>" if "\n" in said else f"<p>{text(said)}</p>"


def page(title: str, body: str, reader: Reader | None = None) -> str:
    """A whole document. The style and the script come from this server; without the script all works, by reloading."""
    links = (
        f'<nav aria-label="Pages"><a href="/">Inbox</a> · <a href="/decided">Decided</a> · <a href="/audit">Audit</a>'
        f"</nav><span>{text(reader.name)}</span>"
        if reader
        else ""
    )
    script = f'<script src="/live.js" data-mark="{text(reader.mark)}" defer></script>' if reader else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="same-origin"><meta name="color-scheme" content="light dark">'
        f'<title>{text(title)} · mcp-backend</title><link rel="stylesheet" href="/site.css">{script}</head><body>'
        f'<a class="skip" href="#main">To the content</a><header><strong>mcp-backend</strong>{links}</header>'
        f'<p id="moved" class="alarm" role="status" hidden>Something changed meanwhile. <a href="">Reload</a></p>'
        f'<main id="main">{body}</main></body></html>'
    )
