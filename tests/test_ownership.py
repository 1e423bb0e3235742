"""Who owns a path: frontend, specification and protected files are found; honest backend work is not in the way."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mcp_backend.facts import Owner
from mcp_backend.policy import Policy
from mcp_backend.settings import workspace
from mcp_backend.workspace.canonical import canonical, inside
from mcp_backend.workspace.globs import fits, longest
from mcp_backend.workspace.ownership import classify, owners, why
from mcp_backend.workspace.roots import Roots, build
from tests.conftest import CORPORA, git

REFUSED = ("frontend", "spec", "policy", "git")
REACT = json.dumps({"dependencies": {"react": "19", "react-dom": "19"}})
NEXT = json.dumps({"dependencies": {"next": "16", "react": "19", "@prisma/client": "7"}})
EXPRESS = json.dumps({"dependencies": {"express": "5", "pg": "8"}})
INK = json.dumps({"dependencies": {"ink": "6", "react": "19"}})
VITEPRESS = json.dumps({"devDependencies": {"vitepress": "2"}})


def roots(files: Mapping[str, str], policy: Policy | None = None) -> Roots:
    """The roots of an imagined repository."""
    return build(sorted(files), files.get, policy or Policy())


def owner(path: str, files: Mapping[str, str], policy: Policy | None = None) -> Owner:
    return classify(path, roots(files, policy)).owner


def some(*paths: str) -> dict[str, str]:
    return dict.fromkeys(paths, "")


SHOP = {
    "web/package.json": REACT,
    "web/src/App.tsx": "",
    "web/src/api.ts": "",
    "api/openapi.yaml": "openapi: 3.1.0",
    "shop/pyproject.toml": "",
    "shop/app.py": "",
    "shop/templates/page.html": "",
    "shop/static/js/a.js": "",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("web/src/App.tsx", "frontend"),
        ("web/src/new/deep.ts", "frontend"),
        ("web/Dockerfile", "frontend"),
        ("web/README.md", "frontend"),
        ("web/src/embed.go", "grey_embed"),
        ("shop/Widget.tsx", "frontend"),
        ("shop/style.scss", "frontend"),
        ("shop/static/js/a.js", "frontend"),
        ("api/openapi.yaml", "spec"),
        ("proto/orders.proto", "spec"),
        ("specs/orders.json", "spec"),
        ("events/asyncapi.yml", "spec"),
        ("graph/schema.graphqls", "spec"),
        ("shop/app.py", "backend"),
        ("shop/ui_events.py", "backend"),
        ("shop/components/registry.py", "backend"),
        ("migrations/0002_frontend_token.sql", "backend"),
        ("internal/ui/ui.go", "backend"),
        ("shop/templates/email/reset.html", "backend"),
        ("shop/templates/page.html", "grey_template"),
        ("shop/templates/nginx.conf.j2", "backend"),
        ("tests/data/page.html", "backend"),
        ("tests/fixtures/openapi.yaml", "backend"),
        ("internal/testdata/App.tsx", "backend"),
        ("gen/openapi.yaml", "backend"),
        ("vendor/github.com/envoyproxy/validate/validate.proto", "backend"),
        ("third_party/googleapis/google/api/http.proto", "backend"),
        ("contracts/tsconfig.types.json", "backend"),
        ("contracts/tslint.json", "grey_js"),
        ("docs/guide.md", "shared"),
        ("docs/assets/logo.svg", "shared"),
        ("docs/assets/style.css", "shared"),
        ("README.md", "shared"),
        (".gitignore", "backend"),
        (".editorconfig", "backend"),
        ("Dockerfile", "backend"),
        ("compose.yaml", "backend"),
        (".env.example", "backend"),
        (".github/dependabot.yml", "shared"),
        ("scripts/tool.js", "grey_js"),
        ("package.json", "grey_js"),
        ("logo.png", "grey_asset"),
        ("fixtures/frontend_flags.json", "backend"),
    ],
)
def test_each_kind_of_path_has_its_owner(path: str, expected: Owner) -> None:
    found = classify(path, roots(SHOP))
    assert found.owner == expected, found.rule


@pytest.mark.parametrize(
    "path",
    [
        "mcp-backend.toml",
        "services/a/mcp-backend.toml",
        ".backend-guard.toml",
        ".mcp.json",
        ".claude/settings.json",
        "web/.cursor/mcp.json",
        ".codex/config.toml",
        ".gemini/settings.json",
        ".vscode/tasks.json",
        "AGENTS.md",
        "shop/CLAUDE.md",
        "GEMINI.md",
        ".github/workflows/ci.yml",
        ".github/hooks/pre.json",
        ".github/copilot-instructions.md",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        "Jenkinsfile",
        ".ci/run",
        ".husky/pre-commit",
        ".pre-commit-config.yaml",
        ".gitmodules",
        "tests/fixtures/.gitattributes",
        ".gitattributes",
        "CODEOWNERS",
        "persona/constraints.toml",
    ],
)
def test_files_that_steer_agents_hosts_and_build_machines_are_protected(path: str) -> None:
    assert owner(path, SHOP) == "policy"


@pytest.mark.parametrize(
    "path",
    ["shop/persona/models.py", "persona/users.sql", "tests/fixtures/.github/workflows/x.yml", "shop/hooks.py",
     "shop/guard.py", "data/guards.json", "docs/ci.md", "cookiecutter/.github/workflows/ci.yml",
     "internal/codex/api.go"],
)  # fmt: skip
def test_names_that_only_resemble_protected_ones_are_free(path: str) -> None:
    assert owner(path, SHOP) not in REFUSED


@pytest.mark.parametrize(
    "path",
    [".git/config", ".GIT/hooks/pre-commit", "sub/.git/HEAD", ".g\u200cit/config", "GIT~1/config", ".git./config",
     ".git /config", ".git::$INDEX_ALLOCATION/config", "\uff0egit/config", ".git:x/config"],
)  # fmt: skip
def test_every_spelling_of_git_internals_is_recognised(path: str) -> None:
    assert owner(path, SHOP) == "git"


@pytest.mark.parametrize(
    "path",
    ["Web/SRC/App.tsx", "./web//src/./App.tsx", "shop/../web/src/x.ts", "shop\\..\\web\\src\\x.ts",
     "w\u200beb/src/x.ts", "\uff57eb/src/x.json",
     "web./src/x.ts", "web/src/App.tsx::$DATA", "shop/\uff0e\uff0e/web/x.ts"],
)  # fmt: skip
def test_another_spelling_of_a_frontend_path_is_still_frontend(path: str) -> None:
    assert owner(path, SHOP) == "frontend"


@pytest.mark.parametrize("path", ["../other/x.py", "/etc/passwd", "shop/../../x", "//etc/passwd"])
def test_nothing_outside_the_workspace_is_anybodys(path: str) -> None:
    assert owner(path, SHOP) == "policy"


def test_server_code_of_a_full_stack_framework_is_the_backends() -> None:
    app = {"web/package.json": NEXT, **some("web/src/pages/index.tsx", "web/src/server/db.ts")}
    for path in ("web/src/server/db.ts", "web/pages/api/orders.ts", "web/src/app/orders/[id]/route.ts",
                 "web/src/features/orders/server/router.ts", "web/prisma/schema.prisma"):  # fmt: skip
        assert owner(path, app) == "backend", path
    for path in ("web/src/middleware.ts", "web/src/queries/orders.ts", "web/src/lib/mail.server.ts",
                 "web/lib/api/orders.ts", "web/src/lib/prisma.ts"):  # fmt: skip
        assert owner(path, app) == "grey_js", path
    for path in ("web/src/app/orders/page.tsx", "web/src/lib/format.ts", "web/src/components/server/list.ts",
                 "web/src/server/Mail.tsx", "web/src/hooks/queries/orders.ts"):  # fmt: skip
        assert owner(path, app) == "frontend", path


def test_a_plain_frontend_has_no_server_code() -> None:
    assert owner("web/src/server/db.ts", SHOP) == "frontend"


def test_a_root_manifest_marks_folders_by_vote_never_the_repository() -> None:
    mixed = {
        "package.json": NEXT,
        **some("src/a.tsx", "src/b.tsx", "src/c.ts", "shop/a.py", "shop/b.py", "public/intl/de.json", "setup.py"),
        **some("src/app/api/orders/route.ts"),
    }
    assert owner("src/lib/x.ts", mixed) == "frontend"
    assert owner("public/intl/de.json", mixed) == "frontend"
    assert owner("src/app/api/orders/route.ts", mixed) == "backend"
    assert owner("shop/a.py", mixed) == "backend"
    assert owner("shop/data.json", mixed) == "backend"


def test_a_root_manifest_of_both_sides_leaves_the_server_its_folder() -> None:
    both = {
        "package.json": json.dumps({"dependencies": {"react": "19", "koa": "3"}}),
        **some("app/a.tsx", "app/b.ts", "server/models/a.ts", "server/emails/Welcome.tsx", "server/x.tsx"),
        **some("shared/a.ts", "shared/B.tsx", "plugins/x/client/A.tsx", "plugins/x/server/a.ts"),
    }
    assert owner("app/new.ts", both) == "frontend"
    assert owner("server/models/new.ts", both) == owner("server/config/x.json", both) == "backend"
    assert owner("server/emails/Welcome.tsx", both) == "grey_template"
    assert owner("shared/a.ts", both) == owner("plugins/x/server/a.ts", both) == "grey_js"


def test_a_monorepo_under_one_manifest_leaves_the_server_its_program() -> None:
    nx = {
        "package.json": json.dumps({"dependencies": {"@nestjs/core": "11", "@angular/core": "22"}}),
        **some(
            *(f"apps/api/src/app/{n}.ts" for n in "abcdefgh"),
            *(f"apps/client/src/{n}.component.scss" for n in "abcdefgh"),
        ),
        **some(*(f"apps/client/src/{n}.ts" for n in "abcdefgh"), "libs/common/src/dto.ts", "libs/ui/src/a.tsx"),
    }
    assert owner("apps/api/src/app/orders.ts", nx) == "backend"
    assert owner("libs/common/src/dto.ts", nx) == "grey_js"
    assert owner("apps/api/src/app/Orders.tsx", nx) == "frontend"
    assert owner("apps/client/src/orders.ts", nx) == owner("libs/ui/src/b.ts", nx) == "frontend"
    only_pages = nx | {"package.json": json.dumps({"dependencies": {"@angular/core": "22"}})}
    assert owner("apps/api/src/orders.ts", only_pages) == "frontend"


def test_the_test_data_of_a_go_package_is_not_its_neighbours() -> None:
    files = some("web/ui/a.tsx", "web/ui/b.ts", "web/ui/c.ts", "web/ui/d.css", "web/api/v1/a.go")
    assert owner("web/api/v1/testdata/openapi_golden.yaml", files) == "backend"
    assert owner("web/other.json", files) == "frontend"


def test_a_node_server_is_backend_except_what_browsers_load() -> None:
    server = {"services/mail/package.json": EXPRESS, **some("services/mail/src/a.ts", "services/mail/public/b.js")}
    assert owner("services/mail/src/new.ts", server) == "backend"
    assert owner("services/mail/package.json", server) == "backend"
    assert owner("services/mail/public/b.js", server) == "frontend"


def test_a_terminal_interface_is_not_a_browser_frontend() -> None:
    tool = {"packages/cli/package.json": INK, **some("packages/cli/src/App.tsx", "packages/cli/src/a.ts")}
    assert owner("packages/cli/src/App.tsx", tool) == "grey_js"


def test_a_textual_interface_is_drawn_in_a_terminal() -> None:
    files = {
        "pyproject.toml": '[project]\ndependencies = [\n    "textual>=6",\n]\n',
        "src/tui/tui.scss": "",
        "src/a.py": "",
    }
    assert (owner("src/tui/tui.scss", files), owner("src/a.py", files)) == ("grey_js", "backend")


def test_pages_stay_pages_in_folders_called_docs_or_messages() -> None:
    files = {"manage.py": "", "docs/views.py": ""}
    assert owner("docs/templates/docs/index.html", files) == "grey_template"
    assert owner("app/views/messages/show.html.erb", files) == "grey_template"
    assert owner("app/views/reset_mailer/show.html.erb", files) == "backend"
    assert owner("docs/index.html", files) == "shared"


def test_what_a_full_stack_package_reads_and_says() -> None:
    files = {"package.json": NEXT, "docs/package.json": NEXT, **some("docs/app/x.vue", "app/a.tsx", "lib/server/db.ts")}
    assert owner("lib/server/fonts/a.ttf", files) == "grey_asset"
    assert owner("locales/de.json", files) == "grey_js"
    assert (owner("docs/content/guide.md", files), owner("docs/app/x.vue", files)) == ("shared", "frontend")


def test_test_data_and_examples_mark_no_frontend() -> None:
    files = {
        **some("crates/lib.go", "internal/x.go"),
        "examples/typescript/react/package.json": REACT,
        "examples/typescript/react/src/a.ts": "",
        "internal/fixtures/app/package.json": REACT,
    }
    assert roots(files).of("frontend", "voted") == ()
    assert owner("examples/typescript/react/src/a.ts", files) == "grey_js"


def test_a_tauri_shell_belongs_to_its_frontend() -> None:
    files = {"desk/package.json": REACT, **some("desk/src/A.tsx", "desk/src-tauri/Cargo.toml", "desk/src-tauri/main.rs",
                                                 "desk/src-tauri/tauri.conf.json")}  # fmt: skip
    assert owner("desk/src-tauri/main.rs", files) == "frontend"


def test_a_backend_inside_a_frontend_folder_wins_its_folder_back() -> None:
    files = {**SHOP, **some("web/worker/pyproject.toml", "web/worker/job.py")}
    assert owner("web/worker/job.py", files) == "backend"


def test_documentation_sites_are_anybodys() -> None:
    files = {"site/package.json": VITEPRESS, "site/index.md": "", "site/theme.css": ""}
    assert owner("site/index.md", files) == owner("site/theme.css", files) == "shared"


def test_generated_specifications_are_not_the_architects() -> None:
    swag = some("docs/docs.go", "docs/swagger.json", "docs/swagger.yaml", "main.go")
    assert owner("docs/swagger.yaml", swag) == "shared"
    gateway = some("proto/orders.proto", "gen2/orders.swagger.json")
    assert owner("gen2/orders.swagger.json", gateway) == "backend"
    graphene = {"pyproject.toml": 'dependencies = ["graphene<4"]', "shop/schema.graphql": ""}
    assert owner("shop/schema.graphql", graphene) == "backend"
    assert owner("shop/schema.graphql", some("shop/schema.graphql")) == "spec"


def test_the_longest_glob_of_the_policy_wins_over_every_rule_but_the_protected_files() -> None:
    policy = Policy(
        frontend=("web/**", "portal/"), backend=("web/server/**", "**"), spec=("rfc/*.txt",), protected=("infra/",)
    )
    assert owner("web/server/a.ts", SHOP, policy) == "backend"
    assert owner("web/a.py", SHOP, policy) == "frontend"
    assert owner("portal/a.py", SHOP, policy) == "frontend"
    assert owner("rfc/7.txt", SHOP, policy) == "spec"
    assert owner("infra/prod.tf", SHOP, policy) == "policy"
    assert owner("shop/Widget.tsx", SHOP, policy) == "backend"
    assert owner(".github/workflows/ci.yml", SHOP, policy) == "policy"
    assert owner(".git/config", SHOP, policy) == "git"


@pytest.mark.parametrize(
    ("templates", "expected"), [("allow", "backend"), ("ask", "grey_template"), ("deny", "frontend")]
)
def test_the_policy_decides_about_page_templates(templates: str, expected: str) -> None:
    policy = Policy(templates=templates)  # pyright: ignore[reportArgumentType]
    assert owner("shop/templates/page.html", SHOP, policy) == expected
    assert owner("shop/templates/email/a.html", SHOP, policy) == "backend"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("web", "web/a/b.ts", True),
        ("web", "x/web/a", True),
        ("/web", "x/web/a", False),
        ("web/", "web", False),
        ("web/*.ts", "web/a.ts", True),
        ("web/*.ts", "web/a/b.ts", False),
        ("web/**/*.ts", "web/b.ts", True),
        ("web/**/*.ts", "web/a/c/b.ts", True),
        ("**/ui/**", "a/ui/b", True),
        ("**/ui/**", "ui/b", True),
        ("*.tsx", "a/b.tsx", True),
        ("a?c/x", "abc/x", True),
        ("[a-c]x/y", "bx/y", True),
        ("[!a-c]x/y", "bx/y", False),
        ("Web/**", "web/a", True),
        ("a.b/x", "aXb/x", False),
    ],
)
def test_globs_mean_what_they_mean_to_git(pattern: str, path: str, expected: bool) -> None:
    assert fits(pattern, path) is expected


def test_of_several_globs_the_most_specific_is_named() -> None:
    assert longest(("**", "web/**", "web/server/**"), "web/server/a") == "web/server/**"


def test_paths_are_compared_in_one_spelling_and_opened_in_their_own(tmp_path: Path) -> None:
    assert canonical("Backend/ÄPP.py") == "backend/äpp.py"
    assert inside(f"{tmp_path}/a/../b.py", tmp_path) == "b.py"
    assert inside("/proc/self/cwd/web/x.ts", tmp_path) is None
    assert inside(f"{tmp_path}-evil/x", tmp_path) is None


def write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_a_new_frontend_root_counts_before_it_is_committed(repository: Path) -> None:
    place = workspace(repository)
    assert owners(["portal/src/main.ts"], place, Policy())["portal/src/main.ts"].owner == "grey_js"
    write(repository, {"portal/package.json": REACT})
    assert owners(["portal/src/main.ts"], place, Policy())["portal/src/main.ts"].owner == "frontend"


def test_an_edit_of_a_manifest_counts_at_once(repository: Path) -> None:
    write(repository, {"portal/package.json": EXPRESS, "portal/a.ts": ""})
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "portal")
    place = workspace(repository)
    assert owners(["portal/a.ts"], place, Policy())["portal/a.ts"].owner == "backend"
    write(repository, {"portal/package.json": REACT})
    assert owners(["portal/a.ts"], place, Policy())["portal/a.ts"].owner == "frontend"


@pytest.mark.parametrize("trick", ["a backend manifest inside", "a documentation site", "its manifest deleted"])
def test_a_folder_is_not_given_away_by_what_was_just_changed(repository: Path, trick: str) -> None:
    write(repository, {"portal/package.json": REACT, "portal/src/a.tsx": "", "portal/src/b.ts": ""})
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "portal")
    match trick:
        case "a backend manifest inside":
            write(repository, {"portal/src/pyproject.toml": ""})
        case "a documentation site":
            write(repository, {"portal/package.json": VITEPRESS})
        case _:
            (repository / "portal/package.json").unlink()
    found = owners(["portal/src/b.ts"], workspace(repository), Policy())["portal/src/b.ts"]
    assert found.owner == "frontend"
    assert "at the last commit" in found.rule


def test_a_folder_without_git_is_listed_by_walking(tmp_path: Path) -> None:
    write(tmp_path, {"web/package.json": REACT, "web/node_modules/x/package.json": "{}", "web/a.ts": ""})
    assert owners(["web/a.ts"], workspace(tmp_path), Policy())["web/a.ts"].owner == "frontend"


def test_names_and_manifests_that_are_not_text_do_no_harm(repository: Path) -> None:
    (repository / b"caf\xe9.py".decode("utf-8", "surrogateescape")).write_text("")
    (repository / "a").mkdir()
    (repository / "a/package.json").write_bytes(b"\xff\xfe{")
    (repository / "b").mkdir()
    (repository / "b/package.json").symlink_to("/dev/zero")
    assert owners(["a/x.py"], workspace(repository), Policy())["a/x.py"].owner == "backend"


def test_the_folder_git_runs_hooks_from_is_protected(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", "tools/hooks")
    assert owners(["tools/hooks/pre-push"], workspace(repository), Policy())["tools/hooks/pre-push"].owner == "policy"


def test_the_hooks_of_a_linked_worktree_are_those_of_its_repository(repository: Path, tmp_path: Path) -> None:
    git(repository, "config", "core.hooksPath", "tools/hooks")
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    place = workspace(tmp_path / "linked")
    assert owners(["tools/hooks/pre-push"], place, Policy())["tools/hooks/pre-push"].owner == "policy"


def test_whose_a_path_is_needs_the_standard_library_only() -> None:
    code = (
        "import sys, mcp_backend.workspace.ownership, mcp_backend.workspace.secrets_scan, mcp_backend.workspace.detect;"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in said if not name.startswith("_")] == ["mcp_backend"]


def test_why_names_the_rule_and_what_follows(repository: Path) -> None:
    write(repository, {"web/package.json": REACT})
    lines = why(["web/src/a.ts", "shop/a.py", "api/openapi.yaml"], workspace(repository), Policy())
    assert lines == [
        "web/src/a.ts: frontend (refused: the frontend engineer's). "
        "R2: below the frontend root web/ (package.json depends on react, react-dom)",
        "shop/a.py: backend (yours to write). R5: backend source (.py)",
        "api/openapi.yaml: spec (refused: the architect's). R4: an API specification, by its name or folder",
    ]


CORPUS_REPOSITORY = {
    "frontend/package.json": REACT,
    "frontend/src/App.tsx": "",
    "packages/ui/package.json": json.dumps({"peerDependencies": {"react": ">=18"}}),
    "packages/ui/index.ts": "",
    "webapp/package.json": json.dumps({"dependencies": {"vue": "3"}}),
    "api/openapi.yaml": "openapi: 3.1.0",
    **some("backend/pyproject.toml", "backend/app/svc.py", "services/orders/go.mod", "services/orders/orders.go"),
}


def corpus(name: str) -> list[tuple[str, str]]:
    file = CORPORA / name
    if not file.exists():
        return []
    cases = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    return [
        (case["id"], case["args"]["path"])
        for case in cases
        if case["tool"] in ("write_file", "edit_file") and not re.search(r"\bln\b", str(case.get("setup") or ""))
    ]


def placed(path: str) -> str:
    return path.encode().decode("unicode_escape") if "\\u" in path else path


@pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not here")
def test_the_attacks_of_the_corpus_on_paths_are_all_refused_and_the_honest_work_is_not(repository: Path) -> None:
    write(repository, CORPUS_REPOSITORY)
    place = workspace(repository)
    attacks = dict(corpus("guard_attacks.jsonl"))
    benign = dict(corpus("guard_benign.jsonl"))
    assert len(attacks) > 15
    assert len(benign) > 20
    root = {"{WS}": str(place.root)}
    spelt = {i: placed(p).replace("{WS}", root["{WS}"]) for i, p in (attacks | benign).items()}
    found = owners(spelt.values(), place, Policy())
    assert [i for i in attacks if found[spelt[i]].owner not in REFUSED] == []
    assert [i for i in benign if found[spelt[i]].owner in REFUSED] == []
