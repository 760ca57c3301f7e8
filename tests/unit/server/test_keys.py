"""Keys: made once, kept private, found by id."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelwright.errors import ConfigurationError
from modelwright.server.keys import Keys

ACCOUNT = "111122223333"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "credentials.json"


def test_it_works(path: Path) -> None:
    keys = Keys.open(path, ACCOUNT)
    assert keys.admin.principal.arn == "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/admin"
    assert keys.job.principal.arn == "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/SageMaker"
    assert keys.find(keys.admin.id) == keys.admin
    assert keys.find(keys.job.id) == keys.job
    assert keys.admin.principal.access_key == keys.admin.id
    assert keys.admin.principal.user_id.endswith(":admin")


def test_keys_look_like_those_of_aws(path: Path) -> None:
    keys = Keys.open(path, ACCOUNT)
    assert len(keys.admin.id) == 20
    assert len(keys.admin.secret) == 40
    assert keys.admin.id.startswith("AKIA")


def test_the_second_start_finds_the_keys_of_the_first(path: Path) -> None:
    first = Keys.open(path, ACCOUNT)
    assert Keys.open(path, ACCOUNT).admin == first.admin
    assert Keys.open(path, ACCOUNT).job == first.job


def test_two_homes_have_different_keys(tmp_path: Path) -> None:
    one, other = (Keys.open(tmp_path / name, ACCOUNT) for name in ("one", "other"))
    assert len({one.admin.id, one.job.id, other.admin.id, other.job.id}) == 4
    assert len({one.admin.secret, one.job.secret, other.admin.secret, other.job.secret}) == 4


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        Keys.open(path, ACCOUNT)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_unknown_key_is_not_found(path: Path) -> None:
    assert Keys.open(path, ACCOUNT).find("AKIAMWNOTONEOFOURKEY") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"admin": {}}', json.dumps({"admin": {"AccessKeyId": 1, "SecretAccessKey": "x"}})],
)
def test_a_damaged_file_is_not_replaced_silently(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="Delete it"):
        Keys.open(path, ACCOUNT)
    assert path.read_text() == content


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigurationError, match="--home"):
        Keys.open(tmp_path / "home" / "credentials.json", ACCOUNT)
