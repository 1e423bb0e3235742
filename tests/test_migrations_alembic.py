"""Alembic: the project's own command, observed on a shadow and let through to the database as it was rehearsed."""

import sys
from typing import Any

import pytest

from tests.conftest import ERAS, Era
from tests.migration_fixtures import Project, call

INI = "[alembic]\nscript_location = %(here)s/alembic\nsqlalchemy.url = postgresql+psycopg://nobody@nowhere/none\n"
ENV = """
from alembic import context
from sqlalchemy import create_engine

def online():
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

online()
"""


class Alembic:
    """A repository with Alembic in it."""

    def __init__(self, project: Project, shadow: str) -> None:
        self.project = project
        self.shadow = shadow
        self.folder = project.root / "alembic"
        (self.folder / "versions").mkdir(parents=True)
        (project.root / "alembic.ini").write_text(INI)
        (self.folder / "env.py").write_text(ENV)
        self.policy()

    def policy(self, **more: str) -> None:
        python = {"migrations": "alembic", "migration_python": sys.executable, "unrehearsed_because": ""}
        python["shadow"] = self.shadow
        self.project.policy(**(python | more))

    def write(self, revision: str, before: str | None, up: str, down: str = "pass") -> None:
        indented = ("\n".join(f"    {line}" for line in text.splitlines()) for text in (up, down))
        text = "import os\nfrom alembic import op\nimport sqlalchemy as sa\nrevision = {!r}\ndown_revision = {!r}\n"
        text += "def upgrade():\n{}\ndef downgrade():\n{}\n"
        (self.folder / "versions" / f"{revision}_x.py").write_text(text.format(revision, before, *indented))

    @property
    def history(self) -> list[Any]:
        return self.project.ask("select version_num from alembic_version")


@pytest.fixture
def alembic(project: Project, shadow_url: str) -> Alembic:
    return Alembic(project, shadow_url)


MAKE = 'op.create_table("orders", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("note", sa.Text))'


@pytest.mark.parametrize("era", ERAS)
async def test_a_revision_is_observed_rehearsed_and_applied_by_alembic_itself(alembic: Alembic, era: Era) -> None:
    alembic.write("a1", None, MAKE, 'op.drop_table("orders")')
    alembic.write("b2", "a1", 'op.create_index("orders_note", "orders", ["note"])', 'op.drop_index("orders_note")')
    async with alembic.project.server(era) as client:
        answer = await client.call_tool("rehearse_migration", {})
        report: Any = answer.structured_content
        print(report)
        assert [s["sql"].split(" (")[0] for s in report["statements"]]
        result = await call(client)
        print(result)
    assert [m["version"] for m in result["applied"]] == ["a1", "b2"]
    assert alembic.history == ["b2"]
    assert alembic.project.tables == ["alembic_version", "orders"]
