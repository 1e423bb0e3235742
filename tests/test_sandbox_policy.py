"""`[sandbox]` of the policy: reasons in words, names instead of values, ports that make sense."""

from pathlib import Path

import pytest

from mcp_backend import policy
from mcp_backend.errors import InvalidArgument


def load(tmp_path: Path, text: str) -> policy.Policy:
    file = tmp_path / policy.POLICY_FILE
    file.write_text(f"[sandbox]\n{text}\n")
    return policy.load(file, ())


def test_what_is_said_is_kept_and_the_reasons_go_to_the_audit(tmp_path: Path) -> None:
    said = 'environment = ["DATABASE_URL"]\nports = [5432]\nnetwork_because = "tests call the payment sandbox"'
    found = load(tmp_path, said).sandbox
    assert (found.environment, found.ports) == (("DATABASE_URL",), (5432,))
    assert found.loosened() == {"network_because": "tests call the payment sandbox"}
    assert load(tmp_path, "").sandbox.loosened() == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('unfenced_because = "x"', "sandbox.unfenced_because: expected the reason"),
        ("network_because = true", "sandbox.network_because: expected the reason"),
        ('environment = ["A=secret"]', "names of variables"),
        ('ports = ["5432"]', "sandbox.ports: expected ports"),
        ("ports = [80]", "from 1024"),
        ("unfenced = true", "unknown key sandbox.unfenced"),
    ],
)
def test_a_key_that_says_nothing_is_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(tmp_path, line)
    assert words in caught.value.reason
    assert "secret" not in caught.value.reason
