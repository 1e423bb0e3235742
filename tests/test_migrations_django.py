"""Django: `manage.py migrate` itself, observed on a shadow and let through to the database as it was rehearsed."""

import sys
from typing import Any

import pytest

from mcp_backend.app import open_app
from tests.compiled import compiled
from tests.conftest import ERAS, Era, git
from tests.migration_fixtures import Project, call
from tests.test_run_migration_approval import approve

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "elsewhere", "HOST": "db.invalid"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""
HEAD = "from django.db import migrations, models\nfrom django.utils import timezone\n"
BODY = "class Migration(migrations.Migration):\n    dependencies = {}\n    operations = [{}]\n"
MAKE = 'migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True)), ("note", models.TextField())])'
FILL = """
def fill(apps, schema_editor):
    order = apps.get_model("shop", "Order").objects.create(note="it's new")
    order.note = "changed"
    order.save()
"""
MADE = 'migrations.AddField("Order", "made", models.DateTimeField(default=timezone.now))'
RUN = f"{MADE}, migrations.RunPython(fill, migrations.RunPython.noop)"


class Django:
    """A repository with a Django project in it."""

    def __init__(self, project: Project, shadow: str) -> None:
        self.project = project
        root = project.root
        for name in ("site_", "shop", "shop/migrations"):
            (root / name).mkdir()
            (root / name / "__init__.py").write_text("")
        (root / "manage.py").write_text(MANAGE)
        (root / "site_" / "settings.py").write_text(SETTINGS)
        self.settings = {"migration_python": sys.executable, "shadow": shadow, "migrations": "."}
        project.policy(**self.settings)

    def write(self, name: str, operations: str, *needs: str, more: str = "") -> None:
        text = HEAD + more + BODY.format([("shop", need) for need in needs], operations)
        (self.project.root / "shop" / "migrations" / f"{name}.py").write_text(text)

    @property
    def history(self) -> list[Any]:
        return self.project.ask("select app || '.' || name from django_migrations order by id")


@pytest.fixture(scope="module", autouse=True)
def quick() -> None:
    compiled("django.core.management.commands.migrate, django.db.backends.postgresql.base")


@pytest.fixture
def django(project: Project, shadow_url: str) -> Django:
    return Django(project, shadow_url)


async def test_migrations_are_observed_rehearsed_and_applied_by_django_itself(django: Django) -> None:
    django.project.policy(**django.settings, unrehearsed_because="")
    django.write("0001_initial", MAKE)
    django.write("0002_made", RUN, "0001_initial", more=FILL)
    async with django.project.server() as client:
        applied = await call(client)
        assert [m["version"] for m in applied["applied"]] == [
            "contenttypes.0001_initial", "contenttypes.0002_remove_content_type_name", "shop.0001_initial",
            "shop.0002_made",
        ]  # fmt: skip
        assert applied["rehearsal"]["schema_as_rehearsed"] is True
        assert django.project.ask("select note from shop_order") == ["changed"]
        asked = await call(client, direction="down")
        assert (asked["code"], asked["constraint"]) == ("failed_precondition", "rehearsed-migrations")
        decision = await approve(django.project, asked["escalation"])
        assert "DROP COLUMN" in decision["details"]
        taken = await call(client, direction="down")
    assert [m["version"] for m in taken["applied"]] == ["shop.0002_made"]
    assert django.history[-1] == "shop.0001_initial"


@pytest.mark.parametrize("era", ERAS)
async def test_two_last_migrations_and_a_row_that_no_file_is_stop_with_what_to_do(django: Django, era: Era) -> None:
    django.write("0001_initial", MAKE)
    django.write("0002_one", "", "0001_initial")
    django.write("0002_two", "", "0001_initial")
    async with django.project.server(era) as client:
        heads = await call(client)
        django.write("0003_merge", "", "0002_one", "0002_two")
        django.project.admin.execute(
            b"create table django_migrations (id bigint generated always as identity, app varchar(255) not null, "
            b"name varchar(255) not null, applied timestamptz not null default now())"
        )
        django.project.admin.execute(b"grant select on django_migrations to backend")
        django.project.admin.execute(b"insert into django_migrations (app, name) values ('shop', '0004_elsewhere')")
        drift = await call(client)
    assert heads["code"] == drift["code"] == "failed_precondition"
    assert "makemigrations --merge" in heads["reason"]
    assert "shop.0004_elsewhere is applied and no file here is it (drift)" in drift["reason"]


async def test_the_folder_is_found_without_a_policy(django: Django) -> None:
    django.write("0001_initial", MAKE)
    (django.project.root / "mcp-backend.toml").unlink()
    git(django.project.root, "add", "--all")
    async with open_app(django.project.root) as app:
        assert app.policy.engines["postgresql"].migrations == "."
