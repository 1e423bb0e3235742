"""Credentials are found by form and by place; placeholders, samples, names and hashes are not mistaken for them.

The credentials here are made when the tests run, so that no scanner finds one in this file.
"""

import base64
import binascii
import json
import random
import string

import pytest

from mcp_backend.workspace import plausible, secrets_scan
from mcp_backend.workspace.secrets_scan import scan
from mcp_backend.workspace.token_formats import FORMATS

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
CAPITALS = string.ascii_uppercase + string.digits
SOURCE = "shop/settings.py"


def made(length: int, alphabet: str = LETTERS, seed: int = 7) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


def kinds(text: str, path: str = SOURCE) -> list[str]:
    return [found.kind for found in scan(path, text.encode())]


def jwt(payload: object) -> str:
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(payload)]
    return ".".join([*(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts), made(43)])


GUID = "-".join(made(n, HEX, n + 20) for n in (8, 4, 4, 4, 12))
TOKENS = {
    "Authress key": "sc_" + made(12, "abcdefghjk") + ".abcd.acc-" + made(14, HEX) + "." + made(50),
    "Bitbucket token": "ATB" + "B" + made(24) + made(8, "ABCDEF0123456789"),
    "Buildkite token": "bk" + "ua_" + made(40, HEX),
    "CircleCI token": "CCIP" + "AT_" + made(22) + "_" + made(40, HEX),
    "Clojars token": "CLOJ" + "ARS_" + made(60, HEX),
    "Cloudflare origin key": "v1" + ".0-" + made(24, HEX) + "-" + made(146, HEX),
    "Contentful token": "CFP" + "AT-" + made(43),
    "Duffel token": "duffel" + "_live_" + made(43),
    "Dynatrace token": "dt0" + "c01." + made(24, CAPITALS) + "." + made(64, CAPITALS),
    "EasyPost key": "EZ" + "AK" + made(54),
    "Facebook app token": "facebook " + made(15, "123456789") + "|" + made(27),
    "Flutterwave key": "FLW" + "SECK-" + made(32, HEX[:8]) + "-X",
    "Frame.io token": "fio" + "-u-" + made(64),
    "Hugging Face organisation token": "api" + "_org_" + made(34, string.ascii_letters),
    "LangSmith key": "lsv2" + "_pt_" + made(32, HEX) + "_" + made(10, HEX),
    "Mailgun key": "ke" + "y-" + made(32, HEX),
    "Mapbox secret token": "sk" + ".eyJ" + made(60) + "." + made(22),
    "Neon key": "na" + "pi_" + made(64, HEX),
    "Netlify token": "nf" + "p_" + made(36),
    "NVIDIA key": "nv" + "api-" + made(64),
    "OpenRouter key": "sk" + "-or-v1-" + made(64, HEX),
    "Perplexity key": "pp" + "lx-" + made(48),
    "Prefect key": "pn" + "u_" + made(36),
    "Razorpay live key": "rzp" + "_live_" + made(14),
    "ReadMe key": "rd" + "me_" + made(70, HEX),
    "Resend key": "re" + "_" + made(8) + "_" + made(24, seed=9),
    "SettleMint token": "sm" + "_pat_" + made(16),
    "Shippo token": "shippo" + "_live_" + made(40, HEX),
    "Sidekiq credential": "BUNDLE_ENTERPRISE__CONTRIB" + "SYS__COM=" + made(8, HEX) + ":" + made(8, HEX, 9),
    "Slack legacy token": "xox" + "o-" + "-".join(made(9, "123456789", n) for n in (1, 2, 3)) + "-" + made(32, HEX),
    "Stripe test key": "sk" + "_test_51" + made(97),
    "Tailscale key": "tskey" + "-auth-" + made(12) + "CNTRL-" + made(32),
    "Tencent secret id": "AK" + "ID" + made(32),
    "Typeform token": "tf" + "p_" + made(59),
    "AWS Bedrock key": "AB" + "SK" + made(120),
    "1Password service account": "op" + "s_eyJ" + made(260),
    "1Password secret key": "A" + "3-" + "-".join(made(n, CAPITALS, n + k) for k, n in enumerate((6, 6, 5, 5, 5, 5))),
    "Adobe client secret": "p8" + "e-" + made(32),
    "Alibaba access key": "LT" + "AI" + made(20),
    "Artifactory key": "AK" + "Cp" + made(69),
    "Artifactory reference token": "cmVm" + "dGtu" + made(56),
    "Atlassian token": "AT" + "ATT3" + made(186),
    "Airtable token": "pa" + "t" + made(14) + "." + made(64, HEX),
    "Brevo key": "xkey" + "sib-" + made(64, HEX) + "-" + made(16),
    "Discord webhook": "https://discord.com/api/" + "webhooks/" + made(18, string.digits) + "/" + made(68),
    "Doppler token": "dp" + ".pt." + made(43),
    "Facebook token": "EA" + "AM" + made(120),
    "Figma token": "fi" + "gd_" + made(43),
    "Google OAuth token": "ya" + "29." + made(80),
    "Grafana Cloud token": "gl" + "c_eyJ" + made(80),
    "Groq key": "gs" + "k_" + made(52),
    "Heroku key": "HR" + "KU-AA" + made(58),
    "Infracost key": "ic" + "o-" + made(32),
    "Intra 42 secret": "s-" + "s4t2ud-" + made(64, HEX),
    "Linear key": "li" + "n_api_" + made(40),
    "New Relic key": "NR" + "AK-" + made(27, CAPITALS),
    "Octopus Deploy key": "AP" + "I-" + made(26, CAPITALS),
    "OpenShift token": "sha" + "256~" + made(43),
    "PlanetScale token": "psc" + "ale_tkn_" + made(43),
    "Postman key": "PM" + "AK-" + made(24, HEX) + "-" + made(34, HEX),
    "Pulumi token": "pu" + "l-" + made(40, HEX),
    "Replicate token": "r" + "8_" + made(37),
    "RubyGems key": "ruby" + "gems_" + made(48, HEX),
    "Slack trigger": "https://hooks.slack.com/" + "triggers/T" + made(9, CAPITALS) + "/1234509876/" + made(32, HEX),
    "Sonar token": "sq" + "p_" + made(40, HEX),
    "Sourcegraph local token": "sg" + "p_local_" + made(40, HEX),
    "Square access token": "EA" + "AA" + made(60),
    "Supabase key": "sb" + "p_" + made(40, HEX),
    "Teams webhook": "https://a.webhook.office.com/" + "webhookb2/" + GUID + "@" + GUID + "/IncomingWebhook/"
    + made(32, HEX) + "/" + GUID,
    "Terraform Cloud token": made(14) + ".atl" + "asv1." + made(67),
    "Twilio key": "S" + "K" + made(32, HEX),
    "xAI key": "xa" + "i-" + made(80),
    "Azure client secret": made(3) + "8" + "Q~" + made(34, LETTERS, 9),
    "Grafana token": "gl" + "sa_" + made(32) + "_" + made(8, HEX),
    "Notion token": "nt" + "n_" + made(11, string.digits) + made(35),
    "Fly token": "fo" + "1_" + made(43),
    "Sourcegraph token": "sg" + "p_" + made(16, HEX) + "_" + made(40, HEX),
    "Mailchimp key": made(32, HEX) + "-us" + "21",
    "Sentry token": "sntry" + "u_" + made(64, HEX),
    "Square token": "sq0" + "csp-" + made(43),
    "npm registry token": ":_auth" + "Token=" + "-".join(made(n, HEX) for n in (8, 4, 4, 4, 12)),
    "AWS access key": "AK" + "IA" + made(16, string.ascii_uppercase + "234567"),
    "GitHub token": "gh" + "p_" + made(36),
    "GitLab token": "gl" + "pat-" + made(20),
    "Slack token": "xo" + "xb-" + made(12, string.digits) + "-" + made(12, string.digits, 8) + "-" + made(24),
    "Slack webhook": "https://hooks.slack" + ".com/services/T" + made(9, string.ascii_uppercase) + "/B"
    + made(9, string.ascii_uppercase, 3) + "/" + made(24),
    "Stripe live key": "sk" + "_live_" + made(24),
    "Google API key": "AI" + "za" + made(35),
    "Google client secret": "GOC" + "SPX-" + made(28),
    "Anthropic key": "sk-" + "ant-api03-" + made(93) + "AA",
    "OpenAI key": "sk-" + "proj-" + made(48) + "T3Blbk" + "FJ" + made(48, seed=3),
    "Hugging Face token": "h" + "f_" + made(34),
    "npm token": "np" + "m_" + made(36),
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + made(70),
    "SendGrid key": "S" + "G." + made(22) + "." + made(43, seed=9),
    "DigitalOcean token": "dop" + "_v1_" + made(64, "0123456789abcdef"),
    "Shopify token": "shp" + "at_" + made(32, "0123456789abcdef"),
    "Docker token": "dckr" + "_pat_" + made(27),
    "Databricks token": "da" + "pi" + made(32, "0123456789abcdef"),
    "Vault token": "hv" + "s." + made(95),
    "Telegram bot token": made(9, "123456789") + ":A" + "A" + made(33),
    "age secret key": "AGE-SECRET-" + "KEY-1" + made(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "Azure storage key": "Account" + "Key=" + made(86) + "==",
}  # fmt: skip


def test_every_published_form_has_a_case() -> None:
    assert set(TOKENS) == {form.kind for form in FORMATS}
    assert all(form.source.startswith("https://") for form in FORMATS)


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("path", [SOURCE, "tests/test_client.py", "README.md", "web/a.json"])
def test_a_token_of_a_real_service_is_found_wherever_it_stands(kind: str, path: str) -> None:
    assert kinds(f'client = Client("{TOKENS[kind]}")\n', path) == [kind]


@pytest.mark.parametrize("quote", ['"', "'", ""])
def test_a_credential_among_many_like_lines_is_found_and_these_are_looked_through_once(quote: str) -> None:
    lines = [f'{{"id":{n % 7},"text":"what all of them say"}}' for n in range(2000)]
    whole = "\n".join(lines)
    assert kinds(whole) == []
    assert len(secrets_scan.distinct(whole)) * 100 < len(whole)
    kinds_at = {10 * n: kind for n, kind in enumerate(TOKENS, 1)}
    long = [lines[n % 7] for n in range(10 * len(TOKENS) + 5)]
    for at, kind in kinds_at.items():
        long[at - 1] = f'{{"id":1,"text":{quote}{TOKENS[kind]}{quote}}}'
    found = {s.line: s.kind for s in scan(SOURCE, "\n".join(long).encode())}
    assert found == kinds_at


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_of_which_little_is_real_is_a_sample(kind: str) -> None:
    token = TOKENS[kind]
    assert kinds(token[:8] + "x" * (len(token) - 8)) == []


@pytest.mark.parametrize(
    "text",
    [
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'token = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"',
        'password = "changeme-please-1!"',
        'password = "${DB_PASSWORD}"',
        'password = "{{ vault_password }}"',
        'password = os.environ["PASSWORD_1!"]',
        'password: "<your password 1!>"',
        'secret_key = "django-insecure-9x!k2m#p5q"',
        'token = "xxxxxxxxxxxxxxxx1!"',
        'token_header = "X-Auth-Token-2"',
        'api_key = "settings.PAYMENT_API_KEY_V2"',
        'token_url = "https://auth.acme.io/oauth2/token?v=2"',
        'SECRET = "arn:aws:secretsmanager:eu-west-1:12:secret:x"',
        'password_reset_template = "mail/password-reset-2.html"',
        'password_hash = "pbkdf2_sha256$1000$salt$hash1"',
        'token = "550e8400-e29b-41d4-a716-446655440000"',
        'REGEX_PASSWORD = "^(?=.*[A-Z])(?=.*\\d).{8,}$"',
        'password_format = "%s:%d@%s"',
        "def f(password: str = 'hunter') -> None: ...",
        "if token == 'abc!123def': pass",
        "PEM = '-----BEGIN PRIVATE KEY-----' in text",
        "postgresql://postgres:postgres@db:5432/app",
        "postgresql://app:S3cr3t!xyz9@localhost:5432/app",
        "postgresql://app:S3cr3t!xyz9@127.0.0.1/app",
        "postgresql://app:S3cr3t!xyz9@[::1]/app",
        "postgresql://user:pass@db.internal.acme.io/app",
        "postgresql://app:${PASSWORD}@db.acme.io/app",
        "postgresql://{user}:{password}@{host}/app",
        "amqp://guest:guest@rabbit.acme.io",
        "https://x-access-token:%s@github.com/acme/x",
        "redis://:password@cache.acme.io:6379/0",
        "https://user:hunter22@api.example.com/",
        f'publicToken = "{made(43)}"',
        'token = "xoxp-572370529330-573807301142-572331691188-####################"',
        'token = "xoxe.xoxp-1-SlackAppConfigurationAccessTokenHere"',
    ],
)
def test_placeholders_references_and_names_are_not_credentials(text: str) -> None:
    assert kinds(text + "\n") == []


@pytest.mark.parametrize(
    "text",
    [
        'PASSWORD = "Tr0ub4dor&3zq"',
        "    password='kV9#mQ2!xL',",
        '"db_password": "pR7$wNq2^z"',
        'password := "b8!Kd0-qWz4"',
        f'SECRET_KEY: str = "{made(40)}"',
        f'const apiKey = "{made(32, HEX)}";',
        f"client_secret => '{made(30)}'",
    ],
)
def test_a_real_looking_password_in_the_source_is_found(text: str) -> None:
    assert kinds(text + "\n") == ["password or key in the source"]


@pytest.mark.parametrize("path", ["tests/test_a.py", "a_test.go", "spec/x.rb", "docs/setup.md", "settings.example.py"])
def test_passwords_of_tests_documentation_and_samples_are_normal(path: str) -> None:
    assert kinds('PASSWORD = "Tr0ub4dor&3zq"\n', path) == []


def test_a_password_in_a_url_of_another_machine_is_found() -> None:
    assert kinds("DSN = 'postgresql://app:kV9mQ2xL@db.acme.io/app'\n") == ["password in a URL"]
    assert kinds("url: redis://:kV9mQ2xL@10.1.2.3:6379\n", "compose.yaml") == ["password in a URL"]
    assert kinds(f"url: amqp://app:{made(20, seed=5)}@rabbit:5672\n", "compose.yaml") == ["password in a URL"]


def test_environment_files_are_read_and_their_samples_are_not() -> None:
    line = f"POSTGRES_PASSWORD={made(24)}\nPORT=8000\nDEBUG_TOKEN=changeme\n"
    assert kinds(line, ".env") == kinds(line, "deploy/.env.production") == ["credential in an environment file"]
    assert kinds(line, ".env.example") == kinds(line, ".env.sample") == []


def test_a_private_key_is_found_in_every_way_to_write_it() -> None:
    body = "\n".join(made(64, seed=i) for i in range(4))
    block = f"-----BEGIN RSA PRIVATE {'KEY'}-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    assert kinds(block, "deploy/server.pem") == ["private key"]
    assert kinds(json.dumps({"private_key": block}), "deploy/account.json") == ["private key"]
    assert kinds("KEY = (" + "\n".join(json.dumps(line + "\n") for line in block.splitlines()) + ")") == ["private key"]
    encrypted = block.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\n", 1)
    assert kinds(encrypted, "deploy/server.pem") == ["private key"]
    assert kinds(block, "internal/testdata/server.pem") == []


def test_a_signed_token_is_found_unless_it_is_public_or_a_sample() -> None:
    assert kinds(f'auth = "{jwt({"sub": "42", "role": "service_role"})}"') == ["JSON Web Token"]
    assert kinds(f'auth = "{jwt({"iss": "supabase", "role": "anon"})}"') == []
    assert kinds(f'auth = "{jwt({"sub": "1234567890", "name": "John Doe"})}"') == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f'curl https://api.acme.dev/x -H "Authorization: Bearer {made(40)}"', "credential in a header"),
        (f"headers = {{'Authorization': 'Token {made(40, HEX)}'}}", "credential in a header"),
        (
            f"curl -H 'Authorization: Basic {base64.b64encode(f'api:{made(24)}'.encode()).decode()}' https://a.acme.dev",
            "credential in a header",
        ),
        (f"curl -s --user 'api:{made(20)}!' \\\n  https://api.acme.dev/v2", "password of a curl command"),
        (f"curl -X POST -u kevin:{made(20)} https://api.acme.dev", "password of a curl command"),
        ('curl -H "Authorization: Bearer $TOKEN" https://api.acme.dev', ""),
        ('curl -H "Authorization: Bearer YOUR_ACCESS_TOKEN_GOES_HERE1" https://api.acme.dev', ""),
        ('request.headers["Authorization"] = "Bearer " + token', ""),
        ("curl -H 'Authorization: Basic YWRtaW46YWRtaW4=' https://api.acme.dev", ""),
        (f"curl -u elastic:{made(20)} http://localhost:9200", ""),
        ('curl -u "$USER:$PASSWORD" https://api.acme.dev', ""),
        ("curl -u user:password https://api.acme.dev", ""),
        ("http://assets.acme.dev/box.ico-7a388b69018576d24b59331fd60aab0c.png", ""),
    ],
)
def test_a_credential_in_a_header_or_a_curl_command_is_found(text: str, kind: str) -> None:
    assert kinds(text, "scripts/call.sh") == ([kind] if kind else [])
    assert kinds(text, "docs/call.md") == []


def test_a_seed_of_nats_is_found_by_its_checksum() -> None:
    raw = bytes([18 << 3 | 160 >> 5, 0]) + random.Random(1).randbytes(32)
    sealed = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    seed = base64.b32encode(sealed).decode().rstrip("=")
    assert seed.startswith("S")
    assert kinds(f"seed: {seed}\n", "nats.creds") == ["NATS seed"]
    assert kinds(f"seed: {seed[:-1]}{'A' if seed[-1] != 'A' else 'B'}\n", "nats.creds") == []


PASSWORD = "Zk39vQ" + "pL2x!Wn"
ENCODED = base64.b64encode(PASSWORD.encode()).decode()


def test_settings_hold_passwords_without_quotes() -> None:
    found = {
        "k8s/secret.yaml": f"kind: Secret\nmetadata:\n  name: x\ndata:\n  password: {ENCODED}\n",
        "k8s/plain.yaml": f"kind: ConfigMap\n---\nkind: Secret\nstringData:\n  dsn: {PASSWORD}\n",
        "src/application.yml": f"spring:\n  datasource:\n    password: {PASSWORD}\n",
        "src/application.properties": f"spring.datasource.password={PASSWORD}\n",
        "nuget.config": f'<add key="ClearTextPassword" value="{PASSWORD}" />\n',
    }
    honest = {
        "k8s/secret.yaml": "kind: Secret\nstringData:\n  password: ${PASSWORD}\n",
        "k8s/map.yaml": f"kind: ConfigMap\ndata:\n  checksum: {ENCODED}\n",
        "docker-compose.yml": "      POSTGRES_PASSWORD: postgres\n",
        "ci.yml": "        token: ${{ secrets.GITHUB_TOKEN }}\n",
        "values.yaml": "existingSecret: my-release-postgresql-12\nsecretKey: jwt-signing-key-v2\n",
        "secret.example.yaml": f"password: {PASSWORD}\n",
    }
    assert [path for path, text in found.items() if not kinds(text, path)] == []
    assert [path for path, text in honest.items() if kinds(text, path)] == []


def test_a_settings_file_of_odd_lines_takes_no_time() -> None:
    spaces = "kind: Secret\ndata:\n" + (" " * 300 + "\n") * 300 + "a.b-" * 20_000 + "\n"
    assert kinds(spaces, "x.yaml") == []


def test_a_password_of_an_example_host_counts_when_nobody_makes_it_up() -> None:
    strong = "Zk39vQ" + "pL2xWn"
    assert kinds(f'url = "postgresql://app:{strong}@db.prod.example.com/shop"') == ["password in a URL"]
    assert kinds('url = "postgresql://app:password1@db.example.com/shop"') == []


def test_only_lines_that_a_change_adds_count() -> None:
    data = f'a = 1\nPASSWORD = "Tr0ub4dor&3zq"\nb = "{TOKENS["GitHub token"]}"\n'.encode()
    assert [s.line for s in scan(SOURCE, data)] == [2, 3]
    assert [s.line for s in scan(SOURCE, data, {3})] == [3]
    assert scan(SOURCE, data, {1}) == []


def test_the_value_is_not_in_what_is_reported() -> None:
    found = scan(SOURCE, f'x = "{TOKENS["GitHub token"]}"'.encode())
    assert TOKENS["GitHub token"] not in repr(found)


def test_content_that_is_not_text_has_no_credentials_and_takes_no_time() -> None:
    assert scan("a.bin", b"\0" * 100 + TOKENS["GitHub token"].encode()) == []
    assert kinds(TOKENS["GitHub token"] + "\ufffd") == ["GitHub token"]
    assert [s.kind for s in scan("a.ps1", TOKENS["npm token"].encode("utf-16"))] == ["npm token"]
    assert scan("min.js", b'token="' * 300_000) == []


def test_entropy_is_in_bits_per_character() -> None:
    assert plausible.entropy("aaaa") == 0
    assert plausible.entropy("abcd") == 2
