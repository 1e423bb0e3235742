"""Whether a value is a real credential or stands for one: a placeholder, a sample, a name."""

import math
import re
from collections import Counter
from ipaddress import ip_address

from mcp_backend.expressions import Expression
from mcp_backend.workspace.canonical import words

_PLACEHOLDER = Expression(
    r"(?i)example|change[\s_-]?(?:me|it|this)|placeholder|dummy|sample|(?:^|[^a-z])fake|your[\s_-]?|x{4,}|\*{3,}|#{3,}|(?:string|token|key|secret|value)[\s_-]?here|\.{3}|redacted"
    r"|insert|replace|todo|insecure|not[\s_-]?(?:a|real|so)[\s_-]?|lorem|foobar|do[\s_-]?not[\s_-]?use|<[^>]*>|\$\{|\{\{|\$\(|%\("
    r"|%[sdv]|\{[\w.!:]*\}|^\$\w+$|^__\w+__$|^env[.:(]|(?:^|[^a-z])(?:test|mock|demo|local|dev)(?:[^a-z]|$)"
)
_WORD_AND_NUMBER = Expression(r"(?i)pass(?:word|wd|w0rd)[\W_]*\d{0,4}[\W_]*$|^p[a@4][s$5]{2}w[o0]rd")
_SAMPLES = (
    "16c7e42f292c6912e7710c838347ae178b4a",  # https://docs.github.com/en/rest/apps/apps
    "eby8vdm02xnocqflquwjpllmetlcdxj1ouzft50usrz6ifsufq2uverc",  # https://learn.microsoft.com/en-us/azure/storage/common/storage-use-azurite
)
_SEQUENCES = ("abcdefghij", "0123456789", "1234567890", "9876543210", "qwertyuiop", "deadbeefdeadbeef", "abcdef0123456")
_COMMON = words(
    "pass password passwd passw0rd password1 pwd secret token test tests admin root user username guest postgres "
    "postgresql mysql redis rabbitmq mongo nats minio minioadmin kafka clickhouse default bar foo baz changeme "
    "1234 12345 123456 12345678 123456789 hunter hunter2 letmein qwerty demo dev development local example none "
    "null true false x string value key apikey api_key api-key hidden masked pw app api web my-secret mysecret "
    "mypassword p4ssw0rd s3cret s3cr3t supersecret super-secret topsecret top-secret verysecret"
)
_OWN_MACHINES = (".local", ".localhost", ".test", ".example", ".invalid", ".localdomain", ".svc", ".cluster.local")
_SAMPLE_HOSTS = Expression(
    r"(?:^|\.)example\.(?:com|org|net|edu|io)$"
    r"|(?:^|\.)(?:domain|host|server|foo|bar|acme)\.(?:com|tld|org)$"
)
_REFERENCE = Expression(r"(?i)^(?:[./~]|https?:|file:|arn:|op://|vault:|ssm:|secrets?:|projects/|urn:|data:)|://")
_UUID = Expression(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def placeholder(value: str) -> bool:
    """Whether a value says itself that it stands for another one."""
    low = value.lower()
    return (
        _PLACEHOLDER.search(value) is not None
        or low in _COMMON
        or any(known in low for known in _SEQUENCES + _SAMPLES)
        or _WORD_AND_NUMBER.search(value) is not None
        or len(set(value)) <= max(2, min(len(value) // 8, 8))
    )


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def token(value: str) -> bool:
    """Whether a value in a published form is a real one, not a sample in the same form."""
    body = re.sub(r"^(?:[a-zA-Z]{2,10}[-_]){1,2}", "", value)
    return not placeholder(body) and len(set(body)) >= 8 and entropy(body) >= 2.8


def password(value: str) -> bool:
    """Whether a value that is assigned to something named a password, a token or a key is one.

    Either letters, digits and a sign that no identifier has, or a long run that is not made of words.
    """
    if (
        placeholder(value)
        or _REFERENCE.search(value)
        or _UUID.fullmatch(value)
        or re.search(r"[()\[\]{}<>|\\;]", value)
    ):
        return False
    letters, digits = re.search(r"[A-Za-z]", value), re.search(r"\d", value)
    if not letters or not digits:
        return False
    if re.search(r"[!@#$%^&*+?~]", value):
        return "=" not in value.rstrip("=") and entropy(value) >= 2.5
    return len(value) >= 16 and entropy(value) >= 3.3 and not _wordy(value)


def identifier(value: str) -> bool:
    """Whether a value is a UUID that nobody made up, as the keys of some services are."""
    return _UUID.fullmatch(value) is not None and not placeholder(value) and "12345678" not in value


def in_url(user: str, secret: str, host: str) -> bool:
    """Whether the password of a URL opens something: not this machine, not a sample, not the name of a container
    beside it with a password everybody knows."""
    host = host.lower().rstrip(".")
    if _loopback(host) or host.endswith(_OWN_MACHINES):
        return False
    if _SAMPLE_HOSTS.search(host):
        # A host of examples with a password that nobody makes up for one.
        mixed = all(re.search(kind, secret) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        strong = len(secret) >= 10 and mixed and entropy(secret) >= 3 and not _wordy(secret) and not placeholder(secret)
        return strong and not re.search(r"[{}$<>|\\]", user + secret + host)
    if (
        placeholder(host)
        or placeholder(secret)
        or secret.lower() == user.lower()
        or re.search(r"[{}$<>|\\]", user + secret + host)
    ):
        return False
    if "." not in host and ":" not in host:
        return len(secret) >= 12 and password(secret)
    return len(secret) >= 4


def _loopback(host: str) -> bool:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host in ("localhost", "host.docker.internal")
    return address.is_loopback or address.is_unspecified


def _wordy(value: str) -> bool:
    """Whether most of a value is words, as names, file names and header names are."""
    runs = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", value)
    spoken = sum(len(run) for run in runs if len(run) >= 3 and re.search(r"(?i)[aeiouy]", run))
    return spoken >= 0.6 * sum(len(run) for run in runs)
