"""Credentials are hidden wherever they stand; words about credentials are left to be read."""

import time

import pytest

from mcp_backend.settings import hide_credentials

VALUE = "hunterTwo9"


@pytest.mark.parametrize(
    "text",
    [
        "password={}", "PASSWORD = {}", "db_password={} host=db", "Pwd={};Server=db", "token: {}", "token:{}",
        "client_secret: {}", "  password: {}\n  user: shop", "host=db password='{} x' user=shop",
        '{{"password": "{}"}}', "{{'token': '{}', 'id': 1}}", '{{\\"secret\\": \\"{}\\"}}', 'passwd = "{} and more"',
        "api_key={}", "API-KEY: {}", "apiKey: '{}'", "secret_key={}", "access_key: {}", "private_key={}",
        "Authorization: Bearer {}", "authorization: Basic {}", '"Authorization": "Bearer {}"',
        "postgresql://shop:{}@db/shop", "redis://:{}@cache:6379/0", "https://u:{}@example.org",
        "login failed, password: {} for user shop", "is the token: {} right or wrong?", "token: {} or opaque?",
        "password={}?", "token:\n  {}",
    ],
)  # fmt: skip
def test_a_credential_is_hidden(text: str) -> None:
    shown = hide_credentials(text.format(VALUE))
    assert VALUE not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "word", ["swordfish", "correct", "letmein", "Sommer", "opaquely", "nothing", "no-Xy72kk9", "a!b9C", "is?Zz8"]
)
@pytest.mark.parametrize("text", ["password: {}", "password: {} for user shop", "token: {} and more", "secret={}"])
def test_a_credential_made_of_letters_is_hidden_too(text: str, word: str) -> None:
    assert word not in hide_credentials(text.format(word))


@pytest.mark.parametrize(
    "text",
    [
        "token: JWT or opaque?", "Access token: JWT, or an opaque string?", "secret: rotate weekly or monthly?",
        "Refresh token: the client must send it once", "password: required", "password: must not be empty",
        "token: str", "def login(password: str, token: str | None) -> bool:", "token=None", '"token": null',
        "if token == expected:", "a token, a secret and a password", "tokens: 42", "token_count=7",
        "std::token::Parser", "postgresql://db:5432/shop",
        "password authentication failed for user shop", "pwd: string (8 characters)", "password=***",
        "token: is it per user or per device?",
    ],
)  # fmt: skip
def test_words_about_credentials_are_left(text: str) -> None:
    assert hide_credentials(text) == text


def test_hiding_twice_changes_nothing_more() -> None:
    once = hide_credentials('password=abc "token": "def" postgresql://u:p@h/d')
    assert hide_credentials(once) == once


def test_long_texts_take_no_time() -> None:
    began = time.process_time()
    for text in (
        "token: " + "a " * 50_000,
        "password" * 20_000,
        "token:" * 20_000,
        "secret: a or " * 10_000,
        "token: " + "or " * 50_000,
        "://a:" * 20_000,
    ):
        hide_credentials(text)
    assert time.process_time() - began < 2
