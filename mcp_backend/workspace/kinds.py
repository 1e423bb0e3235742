"""What a file is by its name alone: source of which side, template, picture, documentation, test data."""

from typing import Literal, TypeAlias

from mcp_backend.expressions import Expression
from mcp_backend.workspace.canonical import words

Kind: TypeAlias = Literal["back", "ui", "js", "template", "asset", "other"]

BACK = words(
    ".py .pyi .pyx .go .mod .sum .sql .rs .java .kt .kts .scala .rb .php .ex .exs .erl .c .cc .cpp .h .hpp .cs .prisma"
)
UI = words(
    ".tsx .jsx .vue .svelte .astro .css .scss .sass .less .styl .pcss .elm .razor .cshtml .xaml .storyboard .xib "
    ".dart .cljs"
)
SCRIPT = words(".js .ts .mjs .cjs .mts .cts .coffee")
TEMPLATE = words(
    ".html .htm .xhtml .jinja .jinja2 .j2 .tmpl .gohtml .hbs .handlebars .mustache .ejs .pug .mjml .liquid "
    ".djhtml .tpl .templ .njk .erb .haml .slim .twig .heex .eex .leex .jsp .phtml"
)
ASSET = words(
    ".svg .png .jpg .jpeg .gif .ico .webp .woff .woff2 .ttf .eot .otf .map .mp4 .avif .webm .mp3 .webmanifest"
)
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(BACK, "back"),
    **dict.fromkeys(UI, "ui"),
    **dict.fromkeys(SCRIPT, "js"),
    **dict.fromkeys(TEMPLATE, "template"),
    **dict.fromkeys(ASSET, "asset"),
}

TEST_DATA = words(
    "testdata test_data test-data fixtures __fixtures__ test-fixtures test_fixtures __snapshots__ cassettes golden"
)
_TESTS = words("test tests __tests__ spec_tests e2e")
_DATA = words("data files resources responses samples snapshots mocks html static assets")
EXAMPLES = words("example examples sample samples cookiecutter project_template app_template project-template")
STATIC = words(
    "static staticfiles assets public static_src static-src js javascript javascripts scss css wwwroot bundles"
)
MAILISH = Expression(r"(^|/)(e?mails?|(\w+_)?mailers?|notifications?|sms|pdfs?|reports?|invoices?|messages?)(/|[._-])")
"""Places whose templates are rendered into messages and documents, not into pages."""
_RESOURCE_VIEW = Expression(r"(^|/)views/(?!.*mailer).*/(_\w+|index|show|new|edit)(\.html)?\.\w+$")
"""The views of a resource that happens to be called messages or mails, by the names Rails gives them."""
_LANGUAGES = words("locales locale i18n lang langs translations")
_PAGE_FOLDERS = words("templates template views jinja2")
_TEXT_TEMPLATE = Expression(
    r"\.(txt|text|xml|ya?ml|json|toml|conf|cfg|ini|sql|md|sh|service|go|py|csv|env|tf|hcl|proto|eml)"
    r"\.(j2|jinja2?|tmpl|tpl|gotmpl|erb|mustache|hbs)$"
    r"|(^|/)(helm|charts?|cookiecutter|ansible|project_template|app_template|codegen)/"
)
_DOC_FOLDERS = words("doc docs documentation website rfcs adr")
_DOC_NAME = Expression(
    r".*\.(md|markdown|rst|adoc|mdx)|(licen[cs]e|copying|changelog|changes|readme|notice|authors|contributing|security|"
    r"code_of_conduct)([.-].*)?"
)


def suffix(path: str) -> str:
    """The extension in lower case, with its dot; "" where there is none."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def kind(path: str) -> Kind:
    """The kind of a file by its extension."""
    return _KINDS.get(suffix(path), "other")


def documentation(path: str) -> bool:
    """Whether a canonical path is documentation by its name or its folder."""
    parts = path.split("/")
    return any(part in _DOC_FOLDERS for part in parts[:-1]) or _DOC_NAME.fullmatch(parts[-1]) is not None


def written_up(path: str, root: str) -> bool:
    """Whether a canonical path is text of a site that is named for documentation: `docs/content/guide.md`."""
    return root.rpartition("/")[2].lower() in ("doc", "docs", "documentation") and suffix(path) in (
        ".md",
        ".mdx",
        ".rst",
    )


def translated(path: str) -> bool:
    """Whether a canonical path is a catalogue of translations."""
    return suffix(path) in (".json", ".yaml", ".yml") and not _LANGUAGES.isdisjoint(path.split("/")[:-1])


def test_data(path: str) -> bool:
    """Whether a canonical path is data that tests read: below `testdata`, `fixtures` and the like, or below a folder
    of data in a folder of tests."""
    folders = path.split("/")[:-1]
    if any(folder in TEST_DATA for folder in folders):
        return True
    first = next((i for i, folder in enumerate(folders) if folder in _TESTS), None)
    return first is not None and any(folder in _DATA for folder in folders[first + 1 :])


def evidence(path: str) -> bool:
    """Whether a file may tell what its repository is: test data and examples do not."""
    folders = path.lower().split("/")[:-1]
    return not any(folder in TEST_DATA or folder in EXAMPLES for folder in folders)


def not_a_page(path: str) -> bool:
    """Whether a template, by its canonical path, makes a message, a document, SQL or configuration, not a page."""
    if _TEXT_TEMPLATE.search(path):
        return True
    return MAILISH.search(path) is not None and not _RESOURCE_VIEW.search(path)


def page_folder(path: str) -> bool:
    """Whether a canonical path lies in a folder of templates that a web framework renders."""
    return not _PAGE_FOLDERS.isdisjoint(path.split("/")[:-1])
