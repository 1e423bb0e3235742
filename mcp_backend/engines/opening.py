"""One attempt to reach an engine at a time: sixty calls that ask for a frozen server wait for one, not for sixty."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp_backend.errors import Unavailable


class Opening:
    """The turn of those who need a connection that is not there."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._begun = 0
        self._failed: Unavailable | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """The block is one attempt. Who came before an attempt began that has failed meanwhile gets its `Unavailable`
        and makes none: at most two are waited for."""
        came = self._begun
        async with self._turn:
            if self._failed is not None and self._begun > came:
                raise Unavailable(self._failed.reason, details=self._failed.details)
            self._begun += 1
            self._failed = None
            try:
                yield
            except Unavailable as error:
                self._failed = error
                raise
