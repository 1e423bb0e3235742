"""The migration tools that are applied: natively, or by their own command."""

from mcp_backend.migrations.alembic import ALEMBIC
from mcp_backend.migrations.dbmate import DBMATE
from mcp_backend.migrations.django import DJANGO
from mcp_backend.migrations.drizzle import DRIZZLE
from mcp_backend.migrations.flyway import FLYWAY
from mcp_backend.migrations.golang_migrate import GOLANG_MIGRATE
from mcp_backend.migrations.goose import GOOSE
from mcp_backend.migrations.model import Tool
from mcp_backend.migrations.prisma import PRISMA
from mcp_backend.migrations.sqlx import SQLX
from mcp_backend.migrations.supabase import SUPABASE

TOOLS: tuple[Tool, ...] = (DBMATE, GOLANG_MIGRATE, GOOSE, FLYWAY, PRISMA, SQLX, SUPABASE, DRIZZLE, ALEMBIC, DJANGO)


def named(name: str) -> Tool | None:
    """The tool of that name, in any case."""
    return next((tool for tool in TOOLS if tool.name.lower() == name.lower()), None)
