"""Local engines: started on the first lease, shared, kept, and gone with the last one, however that ends."""

import psycopg


async def test_each_test_has_an_empty_database_owned_by_an_ordinary_role(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        await connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY)")
        found = await connection.execute(
            "SELECT rolsuper, (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') FROM pg_roles "
            "WHERE rolname = current_user"
        )
        assert await found.fetchone() == (False, 1)
