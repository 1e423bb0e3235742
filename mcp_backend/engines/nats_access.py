"""The credentials of a NATS engine as the policy refers to them: user and password, token, NKey, credentials file, TLS.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro
"""

import binascii
import importlib
import re
import ssl
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mcp_backend import installing
from mcp_backend.engines.nats_address import Address
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy import EngineSettings

_SEED = re.compile(r"(?<![A-Z2-7])SU[A-Z2-7]{56}(?![A-Z2-7])")
_JWT = re.compile(r"-----BEGIN NATS USER JWT-----\s+([\w.-]+)\s+-{3,}END NATS USER JWT")


def with_access(addresses: tuple[Address, ...], settings: EngineSettings, root: Path) -> tuple[Address, ...]:
    """The addresses with what the policy says beside the URL; it goes before credentials in the URL.

    Raises `InvalidArgument` naming the key and what was expected, never what the reference stands for, and
    `Unavailable` without the package that signs.
    """
    access, name = settings.access, settings.name
    user, password = access.text("username", name), access.text("password", name)
    token, seed, jwt = access.text("token", name), None, None
    if text := access.text("creds", name):
        seed, jwt = _seed(text, f"engines.{name}.creds"), _JWT.search(text)
        if jwt is None:
            raise InvalidArgument(f"engines.{name}.creds: expected a credentials file with a user's JWT and its seed")
    elif text := access.text("nkey", name):
        seed = _seed(text, f"engines.{name}.nkey")
    tls = _context(settings, root)
    found = addresses
    if user or token or seed:
        found = tuple(
            replace(one, user=user, password=password, token=token, seed=seed, jwt=jwt[1] if jwt else None)
            for one in found
        )
    if tls is not None:
        found = tuple(replace(one, tls=True, context=tls, certified=bool(access.tls_cert)) for one in found)
    return found


def _seed(text: str, field: str) -> str:
    if find_spec("nkeys") is None:
        raise Unavailable(installing.needs(f"{field}:", "nats"))
    nkeys: Any = importlib.import_module("nkeys")  # without types
    found = _SEED.search(text)
    try:
        if found:
            nkeys.from_seed(bytearray(found[0].encode())).wipe()
            return found[0]
    except (nkeys.NkeysError, binascii.Error, ValueError):
        pass  # told below, without the seed
    raise InvalidArgument(f"{field}: expected the seed of a user (SU…)")


def _context(settings: EngineSettings, root: Path) -> ssl.SSLContext | None:
    """TLS with the certificates of the policy, `None` where it names none."""
    access, name = settings.access, settings.name
    authority, certificate, key = (access.file(which, name, root) for which in ("tls_ca", "tls_cert", "tls_key"))
    if not authority and not certificate:
        return None
    which = "tls_ca"
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            which = "tls_cert"
            context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise InvalidArgument(f"engines.{name}.{which}: cannot be used as a certificate ({why})") from error
    return context
