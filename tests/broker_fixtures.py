"""Servers of a module's own; its tests use names of their own, or clear what they made."""

from collections.abc import Generator

import pytest

from tests.natsd import Natsd
from tests.redisd import Redisd


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[Natsd]:
    """A NATS server with JetStream."""
    started = Natsd(tmp_path_factory.mktemp("natsd")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def brokers(broker: Natsd, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Natsd, Redisd]]:
    """The same, and a Redis server."""
    redis = Redisd(tmp_path_factory.mktemp("redisd")).start()
    yield broker, redis
    redis.stop()
