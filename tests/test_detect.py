"""What a repository uses, where the policy does not say: engines, migrations, test command."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from mcp_backend.migrations import forms, tools
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.settings import resolve, workspace
from mcp_backend.workspace import detect, migration_folders, suites, uses
from tests.conftest import git

UP = "-- migrate:up\ncreate table a (id int);\n-- migrate:down\ndrop table a;\n"
NODE = '{"scripts": {"test": "vitest run"}, "dependencies": {"pg": "8"}}'


def write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def filled(root: Path, environment: Mapping[str, str] | None = None, policy: Policy | None = None) -> Policy:
    return detect.fill(policy or Policy(), workspace(root), environment or {})


def test_a_bare_workspace_has_local_engines(tmp_path: Path) -> None:
    engines = filled(tmp_path).engines
    assert {e.name: (e.url, e.environment, e.origin) for e in engines.values()} == {
        "postgresql": ("embedded:postgresql", "development", "default"),
        "nats": ("embedded:nats", "development", "default"),
    }


@pytest.mark.parametrize("name", ["DATABASE_URL", "POSTGRES_URL", "POSTGRESQL_URL"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_a_url_in_the_environment_is_production_until_somebody_says_otherwise(
    tmp_path: Path, name: str, scheme: str
) -> None:
    engine = filled(tmp_path, {name: f"{scheme}://app:secret@db/app"}).engines["postgresql"]
    assert (engine.url, engine.environment, engine.origin) == (f"env:{name}", "production", "detected")
    assert "secret" not in repr(engine)


@pytest.mark.parametrize("url", ["mysql://root@db/app", "sqlite:///app.db", "", "postgresql://"])
def test_a_url_of_another_kind_of_database_is_passed_over(tmp_path: Path, url: str) -> None:
    assert filled(tmp_path, {"DATABASE_URL": url}).engines["postgresql"].origin == "default"


@pytest.mark.parametrize("url", ["nats://n:4222", "tls://n", "n1:4222,n2:4222"])
def test_a_nats_url_in_the_environment_is_used(tmp_path: Path, url: str) -> None:
    assert filled(tmp_path, {"NATS_URL": url}).engines["nats"].url == "env:NATS_URL"


def test_the_variables_of_libpq_name_a_server_without_their_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_backend.engines.pg import address

    values = {"PGHOST": "db 1", "PGPORT": "6000", "PGUSER": "o'neil", "PGDATABASE": "app", "PGPASSWORD": "hidden"}
    engine = filled(tmp_path, values).engines["postgresql"]
    assert engine.environment == "production"
    assert "hidden" not in engine.url
    monkeypatch.setenv("PGPASSWORD", "hidden")
    parsed = address.parse(resolve(engine.url, field="url"), where="url").parameters
    assert {key: parsed[key] for key in ("host", "port", "user", "dbname")} == {
        "host": "db 1", "port": "6000", "user": "o'neil", "dbname": "app",
    }  # fmt: skip
    assert filled(tmp_path, {"PGUSER": "me"}).engines["postgresql"].origin == "default"


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("compose.yaml", "services:\n  db:\n    image: postgres:18-alpine\n", "postgresql"),
        ("docker-compose.dev.yml", "  db:\n    image: 'timescale/timescaledb:latest'\n", "postgresql"),
        ("deploy/docker-compose.yml", "  q:\n    image: nats:2.12@sha256:00\n", "nats"),
        ("compose.yml", "    image: ${PG_IMAGE:-postgres:17}\n", "postgresql"),
        ("requirements.txt", "psycopg[binary]>=3\n", "postgresql"),
        ("requirements/base.txt", "nats-py==2.9\n", "nats"),
        ("backend/pyproject.toml", '[project]\ndependencies = ["asyncpg>=0.30"]\n', "postgresql"),
        ("go.mod", "require github.com/nats-io/nats.go v1.40.0\n", "nats"),
        ("go.mod", "require github.com/jackc/pgx/v5 v5.7.0\n", "postgresql"),
        (".env.example", "# NATS_URL=\n", "nats"),
        (".env", "POSTGRES_USER=app\n", "postgresql"),
        ("shop/settings.py", 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}\n', "postgresql"),
        ("shop/settings/base.py", 'BROKER = "nats://localhost"\n', "nats"),
    ],
)
def test_what_the_repository_uses_is_found_and_started_locally(tmp_path: Path, path: str, text: str, kind: str) -> None:
    write(tmp_path, {path: text})
    engine = filled(tmp_path).engines[kind]
    assert (engine.url, engine.environment, engine.origin) == (f"embedded:{kind}", "development", "detected")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("examples/compose.yaml", "    image: nats\n"),
        ("tests/fixtures/requirements.txt", "nats-py\n"),
        ("README.md", "we do not use nats-py\n"),
        ("compose.yaml", "    image: acme/alternats\n"),
        ("requirements.txt", "signats-python\n"),
    ],
)
def test_examples_test_data_and_prose_say_nothing(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, {path: text})
    assert filled(tmp_path).engines["nats"].origin == "default"


def test_what_dependencies_and_images_show_gets_a_local_engine(tmp_path: Path) -> None:
    write(
        tmp_path, {"go.mod": "require github.com/redis/go-redis/v9 v9\n", "compose.yaml": "    image: apache/kafka:4\n"}
    )
    assert {use.kind for use in uses.engines(tmp_path, ["go.mod", "compose.yaml"])} == {"redis", "kafka"}
    assert set(filled(tmp_path).engines) == {"postgresql", "nats", "redis", "kafka"}


def test_values_of_environment_files_are_never_told(tmp_path: Path) -> None:
    write(tmp_path, {".env": "POSTGRES_PASSWORD=k3y-nobody-sees\nNATS_TOKEN=other-s3cret\n"})
    found = detect.look(workspace(tmp_path), {})
    assert {u.because for u in found.uses} == {".env: POSTGRES_PASSWORD", ".env: NATS_TOKEN"}
    assert "nobody" not in repr(found)
    assert "other" not in repr(found)


def test_what_the_policy_says_is_never_changed(tmp_path: Path) -> None:
    write(tmp_path, {"db/migrations/1_a.sql": UP, "tests/test_a.py": "", "pytest.ini": ""})
    mine = EngineSettings("main", "postgresql", "env:MAIN", "staging", migrations="sql")
    policy = Policy(engines=MappingProxyType({"main": mine}), commands=MappingProxyType({"test": "make test"}))
    after = filled(tmp_path, {"DATABASE_URL": "postgresql://db/app"}, policy)
    assert after.engines["main"] is mine
    assert set(after.engines) == {"main", "nats"}
    assert after.commands == {"test": "make test"}


def test_an_engine_whose_name_is_taken_gets_another(tmp_path: Path) -> None:
    odd = EngineSettings("nats", "postgresql", "env:MAIN")
    after = filled(tmp_path, {}, Policy(engines=MappingProxyType({"nats": odd})))
    assert after.engines["nats"] is odd
    assert after.engines["nats-2"].kind == "nats"


def test_the_migrations_of_one_kind_of_database_are_not_those_of_another(tmp_path: Path) -> None:
    def engine(name: str, kind: str, migrations: str | None = None) -> EngineSettings:
        return EngineSettings(name, kind, f"env:{name}", "development", migrations)

    given = (engine("orders", "postgresql", "./db/migrations/"), engine("staging", "postgresql"),
             engine("events", "clickhouse"))  # fmt: skip
    after = filled(tmp_path, {}, Policy(engines=MappingProxyType({each.name: each for each in given})))
    found = {name: each.migrations for name, each in after.engines.items() if each.kind != "nats"}
    assert found == {"orders": "./db/migrations/", "staging": None, "events": "db/events"}


def test_a_dbmate_folder_becomes_the_migrations_of_the_only_database(tmp_path: Path) -> None:
    write(tmp_path, {"svc/sql/20260101000000_a.sql": UP, "svc/sql/20260102000000_b.sql": UP})
    assert filled(tmp_path).engines["postgresql"].migrations == "svc/sql"
    two = Policy(engines=MappingProxyType({n: EngineSettings(n, "postgresql", "env:X") for n in ("a", "b")}))
    assert [e.migrations for e in filled(tmp_path, {}, two).engines.values()] == [None, None, None]


@pytest.mark.parametrize(
    ("files", "folder", "tool"),
    [
        ({"db/migrations/1_a.sql": UP}, "db/migrations", "dbmate"),
        ({"migrations/000001_a.up.sql": "x", "migrations/000001_a.down.sql": "x"}, "migrations", "golang-migrate"),
        ({"migrations/00001_a.sql": "-- +goose Up\n"}, "migrations", "goose"),
        ({"db/V1__a.sql": "create table a();"}, "db", "Flyway"),
        ({"alembic/versions/0a1b2c3d4e5f_a.py": "", "alembic/script.py.mako": ""}, "alembic/versions", "Alembic"),
        ({"shop/migrations/0001_initial.py": "from django.db import migrations\n"}, "shop/migrations", "Django"),
        ({"prisma/migrations/20260101_a/migration.sql": ""}, "prisma/migrations", "Prisma"),
    ],
)
def test_migration_folders_of_other_tools_are_named(
    tmp_path: Path, files: dict[str, str], folder: str, tool: str
) -> None:
    write(tmp_path, files)
    found = detect.look(workspace(tmp_path), {}).migrations
    assert [(m.folder, m.tool) for m in found] == [(folder, tool)]
    assert filled(tmp_path).engines["postgresql"].migrations == (
        folder if tool in forms.APPLIED and tool not in forms.PROGRAMS else None
    )


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("db/postgres", "db/sqlite"), {"postgresql": "db/postgres"}),
        (("migrations", "mysql/migrations"), {"postgresql": "migrations"}),
        (("app/pgmigrations", "app/chmigrations", "migrations"), {"postgresql": "app/pgmigrations"}),
        (("mysql/migrations",), {}),
        (("clickhouse/migrations",), {}),
    ],
)
def test_the_folder_that_names_the_engine_is_its_folder(
    tmp_path: Path, folders: tuple[str, ...], expected: dict[str, str]
) -> None:
    for folder in folders:
        write(tmp_path, {f"{folder}/000001_a.up.sql": "x", f"{folder}/000001_a.down.sql": "x"})
    assert detect.look(workspace(tmp_path), {}).applied == expected
    assert filled(tmp_path).engines["postgresql"].migrations == expected.get("postgresql")


def test_clickhouse_gets_the_folder_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, {"db/clickhouse/1_a.sql": UP, "db/main/1_a.sql": UP, "compose.yml": "image: clickhouse/x\n"})
    assert {n: e.migrations for n, e in filled(tmp_path).engines.items() if e.migrations} == {
        "clickhouse": "db/clickhouse", "postgresql": "db/main",
    }  # fmt: skip


def test_alembic_in_a_package_and_the_apps_of_django_are_found(tmp_path: Path) -> None:
    ini = "[alembic]\nscript_location = shop:alembic\nversion_locations = shop:alembic/versions\n"
    write(tmp_path / "a", {"shop/alembic.ini": ini, "shop/alembic/env.py": "", "shop/alembic/script.py.mako": "",
                           "shop/alembic/versions/0a1b2c3d4e5f_a.py": ""})  # fmt: skip
    assert filled(tmp_path / "a").engines["postgresql"].migrations == "shop/alembic"
    write(tmp_path / "b", {f"shop/{app}/migrations/0001_a.py": "from django.db import migrations\n" for app in "xyz"})
    assert migration_folders.told(detect.look(workspace(tmp_path / "b"), {}).migrations) == ["shop (Django, 3 folders)"]


def test_one_of_two_folders_of_other_tools_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, {"a/migrations/1_a.sql": "-- +goose Up\n", "b/migrations/1_a.sql": "-- +goose Up\n"})
    assert filled(tmp_path).engines["postgresql"].migrations is None
    assert tuple(tool.name for tool in tools.TOOLS) == forms.APPLIED


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tests/test_a.py": ""}, "pytest"),
        ({"pyproject.toml": "[tool.pytest.ini_options]", "a/tests/test_a.py": "", "a/pyproject.toml": ""}, "pytest"),
        ({"backend/pyproject.toml": "", "backend/tests/test_a.py": ""}, "cd backend && pytest"),
        ({"go.mod": "", "a_test.go": ""}, "go test ./..."),
        ({"svc/a/go.mod": "", "svc/a/x_test.go": ""}, "cd svc/a && go test ./..."),
        (
            {"api/setup.cfg": "", "api/test_a.py": "", "svc/b/go.mod": "", "svc/b/x_test.go": ""},
            "cd api && pytest && cd ../svc/b && go test ./...",
        ),
        ({"manage.py": "", "shop/tests.py": "", "requirements.txt": "django"}, "python3 manage.py test"),
        ({"manage.py": "", "shop/tests.py": "", "requirements.txt": "pytest-django"}, "pytest"),
        (
            {"manage.py": "", "shop/tests.py": "", "pyproject.toml": 'exclude = [".pytest_cache"]'},
            "python3 manage.py test",
        ),
        (
            {
                "manage.py": "",
                "shop/tests.py": "",
                ".github/workflows/ci.yml": "env:\n  DJANGO_SETTINGS_MODULE: shop.ci\n",
            },
            "DJANGO_SETTINGS_MODULE=shop.ci python3 manage.py test",
        ),
        ({"package.json": NODE, "pnpm-lock.yaml": ""}, "pnpm test"),
        ({"package.json": NODE.replace("vitest run", 'echo \\"no test specified\\" && exit 1')}, None),
        ({"package.json": NODE.replace('"pg"', '"react"')}, None),
        ({"api/package.json": NODE, "web/package.json": NODE.replace('"pg"', '"react"')}, "cd api && npm test"),
        ({"package.json": NODE, "go.mod": "", "a_test.go": ""}, "go test ./..."),
        ({"tests/fixtures/test_a.py": "", "examples/x/a_test.go": "", "examples/x/go.mod": ""}, None),
        ({"a_test.go": ""}, None),
        ({"app.py": ""}, None),
    ],
)
def test_the_test_command_is_found(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    write(tmp_path, files)
    assert filled(tmp_path).commands.get("test") == expected


def test_small_projects_beside_a_large_one_are_left_to_people(tmp_path: Path) -> None:
    files = {f"server/tests/test_{i}.py": "" for i in range(30)} | {"tool/setup.py": "", "tool/test_a.py": ""}
    write(tmp_path, files | {"server/pyproject.toml": ""})
    assert filled(tmp_path).commands["test"] == "cd server && pytest"


def test_the_found_command_is_one_that_run_tests_understands(tmp_path: Path) -> None:
    from mcp_backend.workspace import runners

    write(tmp_path, {"api/setup.cfg": "", "api/test_a.py": "", "svc/b/go.mod": "", "svc/b/x_test.go": ""})
    commands = runners.commands(filled(tmp_path).commands["test"], tmp_path)
    assert [(c.kind, c.cwd.relative_to(tmp_path).as_posix()) for c in commands] == [("pytest", "api"), ("go", "svc/b")]


def test_frameworks_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"pyproject.toml": 'dependencies = ["FastAPI>=1", "SQLAlchemy"]', "go.mod": "github.com/gin-gonic/gin v1"},
    )
    assert uses.frameworks(tmp_path, ["pyproject.toml", "go.mod"]) == ("fastapi", "gin", "sqlalchemy")
    (tmp_path / "package.json").write_text(
        '{"dependencies": {"@nestjs/core": "11", "@nestjs/common": "11", "react": "19"}}'
    )
    assert uses.frameworks(tmp_path, ["package.json"]) == ("nestjs",)


def test_a_large_repository_is_read_quickly(repository: Path) -> None:
    for folder in range(50):
        (repository / f"pkg{folder}").mkdir()
        for file in range(100):
            (repository / f"pkg{folder}/module_{file}.py").write_text("")
    write(repository, {"compose.yaml": "    image: postgres\n", "tests/test_a.py": "", "db/migrations/1_a.sql": UP})
    git(repository, "add", ".")
    place = workspace(repository)
    policy = detect.fill(Policy(), place, {})
    took: list[float] = []
    for _ in range(5):
        began = time.process_time()
        detect.fill(Policy(), place, {})
        took.append(time.process_time() - began)
    assert policy.engines["postgresql"].migrations == "db/migrations"
    assert policy.engines["postgresql"].origin == "detected"
    assert min(took) < 0.1, took


def test_new_files_of_a_small_repository_count_before_they_are_added(repository: Path) -> None:
    write(repository, {"compose.yaml": "    image: nats\n", ".gitignore": "ignored/\n", "ignored/tests/test_a.py": ""})
    policy = filled(repository)
    assert policy.engines["nats"].origin == "detected"
    assert "test" not in policy.commands
    # An environment that no rule ignores: `python -m venv` writes no .gitignore before Python 3.13.
    write(repository, {f"{name}/lib/numpy/tests/test_a.py": "" for name in (".venv", "api/venv", "node_modules")})
    assert "test" not in filled(repository).commands
    write(repository, {"api/tests/test_a.py": ""})
    assert filled(repository).commands["test"] == "pytest"


def test_suites_are_ordered_from_the_root(tmp_path: Path) -> None:
    found = [suites.Suite("a/b", "pytest", ""), suites.Suite("c", "go test ./...", "")]
    assert suites.command(found) == "cd a/b && pytest && cd ../../c && go test ./..."
    assert suites.command([]) == ""
