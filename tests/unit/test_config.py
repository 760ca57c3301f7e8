import pytest

from modelwright.config import Settings
from modelwright.errors import ConfigurationError


def test_the_defaults_need_nothing(tmp_path):
    settings = Settings.load({"home": tmp_path}, {})
    assert (settings.host, settings.port, settings.region) == ("127.0.0.1", 7070, "us-east-1")
    assert settings.database_url == f"sqlite:///{tmp_path}/modelwright.db"


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path):
    (tmp_path / "config.toml").write_text('port = 1\nregion = "a"\naccount = "999999999999"\nfsync = false\ncpus = 1.5')
    settings = Settings.load(
        {"home": tmp_path, "port": 3, "region": None}, {"MODELWRIGHT_PORT": "2", "MODELWRIGHT_REGION": "b"}
    )
    assert (settings.port, settings.region, settings.account) == (3, "b", "999999999999")
    assert (settings.fsync, settings.cpus) == (False, 1.5)


def test_the_environment_names_the_home(tmp_path):
    assert Settings.load({}, {"MODELWRIGHT_HOME": str(tmp_path)}).home == tmp_path


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "x", "port = 'x'"),
        ("PORT", "70000", "port = 70000"),
        ("ACCOUNT", "12", "account = '12'"),
        ("FSYNC", "maybe", "fsync = 'maybe'"),
        ("SANDBOX", "docker", "sandbox = 'docker'"),
        ("CPUS", "-1", "must not be negative"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path, name, value, said):
    with pytest.raises(ConfigurationError, match=said):
        Settings.load({"home": tmp_path}, {f"MODELWRIGHT_{name}": value})


@pytest.mark.parametrize(("text", "said"), [("colour = 1", "unknown setting 'colour'"), ("port = ", "can't be read")])
def test_a_wrong_file_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        Settings.load({"home": tmp_path}, {})
