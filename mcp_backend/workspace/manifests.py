"""What one `package.json` says about its folder: browser code, a server, a library, documentation or e-mail."""

import json
from collections.abc import Set
from typing import Literal, TypeAlias, cast

from mcp_backend.records import dataclass
from mcp_backend.workspace.canonical import words

Trade: TypeAlias = Literal["frontend", "weak", "node", "library", "docs", "mail", "terminal", "none"]
"""`weak`: only build tools that both sides use. `terminal`: React that draws in a terminal (ink)."""

STRONG = words(
    "react react-dom preact vue nuxt @angular/core svelte @sveltejs/kit solid-js @solidjs/start next gatsby astro "
    "@remix-run/react @react-router/dev ember-source lit lit-element @builder.io/qwik react-native expo alpinejs "
    "htmx.org @hotwired/stimulus @hotwired/turbo jquery backbone @vitejs/plugin-react @vitejs/plugin-react-swc "
    "@vitejs/plugin-vue @sveltejs/vite-plugin-svelte vite-plugin-svelte @storybook/react @tanstack/react-start "
    "@polymer/polymer mithril @angular-devkit/build-angular @ionic/core electron"
)
WEAK = words(
    "bootstrap tailwindcss redux antd @mui/material webpack vite parcel rollup-plugin-svelte sass node-sass less "
    "stylelint d3 three chart.js leaflet pixi.js phaser bulma foundation-sites"
)
DOCS = words(
    "@docusaurus/core vitepress nextra @astrojs/starlight docsify docsify-cli vuepress mintlify mint hugo-bin "
    "hugo-extended fumadocs-core fumadocs-ui @antora/cli"
)
MAIL = words("@react-email/components @react-email/render react-email mjml maizzle @maizzle/framework @maizzle/cli")
SERVER = words(
    "express fastify @nestjs/core koa @hapi/hapi hono @trpc/server prisma @prisma/client typeorm sequelize "
    "drizzle-orm knex bullmq mongoose pg mysql2 better-sqlite3 ioredis @apollo/server apollo-server kysely nats "
    "kafkajs"
)
FULL_STACK = words(
    "next nuxt @sveltejs/kit @remix-run/node @remix-run/react @react-router/dev astro @solidjs/start "
    "@tanstack/react-start gatsby"
)
"""Frameworks whose projects hold server code beside the pages."""


@dataclass(frozen=True, slots=True)
class Package:
    """One manifest, judged. `because` are the dependencies that decided; `serves` names what makes the folder hold
    server code as well, or is empty."""

    trade: Trade
    because: str
    serves: str = ""


def judge(text: str, *, top: bool, ui: int, js: int, mail_path: bool) -> Package | None:
    """The trade of a folder from its manifest and the number of UI and of plain script files below it; `None` when
    the text is not a manifest. `top` is the root of the repository, `mail_path` a folder named for e-mail."""
    deps = dependencies(text)
    if deps is None:
        return None
    strong, server = deps & STRONG, deps & SERVER
    if "ink" in deps and "react-dom" not in deps:
        return Package("terminal", "ink")
    if deps & DOCS and not (top and strong - {"vue", "react"}):
        return Package("docs", _some(deps & DOCS))
    if (deps & MAIL or mail_path) and not server and not deps & {"next", "nuxt", "vite"}:
        return Package("mail", _some(deps & MAIL) or "its path")
    if server and not strong - {"react", "react-dom", "preact"} and ui <= 0.2 * max(1, js + ui):
        return Package("node", _some(server))
    serves = _some(deps & FULL_STACK) or _some(server)
    if strong:
        return Package("frontend", _some(strong), serves)
    if deps & WEAK and ui:
        return Package("weak", _some(deps & WEAK), serves)
    return Package("library" if not ui else "none", "", serves)


def dependencies(text: str) -> Set[str] | None:
    """The names of all dependencies, or `None` when the text is not a `package.json`."""
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    table = cast("dict[str, object]", data)
    found: set[str] = set()
    for key in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
        part = table.get(key)
        if isinstance(part, dict):
            found.update(cast("dict[str, object]", part))
    return found


def _some(names: Set[str]) -> str:
    return ", ".join(sorted(names, key=lambda name: (name not in ("react", "vue", "next", "express"), name))[:2])
