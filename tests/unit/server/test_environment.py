"""The environment: what it sets, keeps and takes out, read back by the shells themselves."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from modelwright.config import Settings
from modelwright.server import environment
from modelwright.server.authority import Authority
from modelwright.server.keys import Keys

URL = "http://127.0.0.1:7070"
Environ = dict[str, str]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def client(settings: Settings, tmp_path: Path):
    """A function: the user's environment -> our variables."""
    keys = Keys.open(settings.credentials, settings.account)
    authority = Authority.open(settings.authority)

    def make(environ: Environ | None = None, url: str = URL) -> Environ:
        environ = {"HOME": str(tmp_path / "user"), **(environ or {})}
        return environment.client_environment(settings, url, keys.admin, authority, environ)

    make.keys = keys  # type: ignore[attr-defined]
    return make


def test_it_works(client, settings: Settings) -> None:
    variables = client()
    assert variables["AWS_ENDPOINT_URL"] == variables["HTTPS_PROXY"] == variables["https_proxy"] == URL
    assert variables["AWS_ACCESS_KEY_ID"] == client.keys.admin.id
    assert variables["AWS_SECRET_ACCESS_KEY"] == client.keys.admin.secret
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == settings.region
    assert variables["NO_PROXY"] == variables["no_proxy"] == "127.0.0.1,localhost,::1"
    assert variables["AWS_CA_BUNDLE"] == variables["REQUESTS_CA_BUNDLE"] == variables["SSL_CERT_FILE"]
    assert "BEGIN CERTIFICATE" in Path(variables["AWS_CA_BUNDLE"]).read_text()
    assert "TelemetryOptOut: true" in Path(variables["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text()
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize(
    ("environ", "region", "default"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1", "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "ap-northeast-2"}, "ap-northeast-2", "ap-northeast-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1", "us-west-2"),
        ({"AWS_REGION": ""}, "us-east-1", "us-east-1"),
    ],
)
def test_the_users_region_stays(client, environ: Environ, region: str, default: str) -> None:
    variables = client(environ)
    assert (variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"]) == (region, default)


def test_a_jobs_region_is_its_own(settings: Settings, tmp_path: Path) -> None:
    keys, authority = Keys.open(settings.credentials, settings.account), Authority.open(settings.authority)
    server = {"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    variables = environment.client_environment(settings, URL, keys.job, authority, server, region="us-west-2")
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "us-west-2"
    assert variables["AWS_ACCESS_KEY_ID"] == keys.job.id


def test_the_profiles_region_stays(client, tmp_path: Path) -> None:
    file = tmp_path / "user" / ".aws" / "config"
    file.parent.mkdir(parents=True)
    file.write_text("[default]\nregion = eu-north-1\n[profile work]\nregion=ap-south-1\n")
    assert client()["AWS_REGION"] == "eu-north-1"
    assert client({"AWS_PROFILE": "work"})["AWS_REGION"] == "ap-south-1"
    assert client({"AWS_PROFILE": "gone"})["AWS_REGION"] == "us-east-1"
    file.write_text("not a configuration")
    assert client()["AWS_REGION"] == "us-east-1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("intranet.example, 10.0.0.0/8", "intranet.example,10.0.0.0/8,127.0.0.1,localhost,::1"),
        ("*", "127.0.0.1,localhost,::1"),
        (".amazonaws.com,s3.us-east-1.amazonaws.com,*.amazonaws.com,com", "127.0.0.1,localhost,::1"),
        ("localhost,api.aws,aws.example", "localhost,aws.example,127.0.0.1,::1"),
    ],
)
def test_no_proxy_keeps_the_users_exceptions_but_not_those_for_aws(client, given: str, kept: str) -> None:
    assert client({"NO_PROXY": given})["NO_PROXY"] == kept
    assert client({"no_proxy": given})["no_proxy"] == kept


def test_other_tools_variables_are_set_only_where_the_user_has(client, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("-----BEGIN CERTIFICATE-----\nMINE\n-----END CERTIFICATE-----\n")
    assert "GIT_SSL_CAINFO" not in client()
    variables = client({"GIT_SSL_CAINFO": str(roots)})
    assert variables["GIT_SSL_CAINFO"] == variables["SSL_CERT_FILE"]
    assert "MINE" in Path(variables["GIT_SSL_CAINFO"]).read_text()


def test_a_server_for_others_is_no_proxy(client) -> None:
    variables = client(url="http://192.0.2.7:7070")
    assert not {"HTTPS_PROXY", "https_proxy", "AWS_CA_BUNDLE"} & set(variables)


def test_a_server_that_others_reach_too_is_no_proxy(settings: Settings) -> None:
    keys, authority = Keys.open(settings.credentials, settings.account), Authority.open(settings.authority)
    everywhere = replace(settings, host="0.0.0.0")
    variables = environment.client_environment(everywhere, URL, keys.admin, authority, {})
    assert not {"HTTPS_PROXY", "https_proxy", "AWS_CA_BUNDLE"} & set(variables)
    assert variables["AWS_ENDPOINT_URL"] == URL


def test_the_users_sdk_configuration_stays(client, tmp_path: Path) -> None:
    variables = client({"SAGEMAKER_USER_CONFIG_OVERRIDE": "s3://bucket/config.yaml"})
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE" not in variables
    assert "TelemetryOptOut" in Path(variables["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"]).read_text()
    file = tmp_path / "user" / ".config" / "sagemaker" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("SchemaVersion: '1.0'\n")
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE" not in client()
    both = {"SAGEMAKER_USER_CONFIG_OVERRIDE": "a", "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": "b"}
    assert not [name for name in client(both) if name.startswith("SAGEMAKER")]


def test_what_interferes_is_taken_out(client) -> None:
    environ = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "AWS_ENDPOINT_URL_STS": "http://x", "OTHER": "1"}
    result = environment.applied(environ, client(environ))
    assert result["OTHER"] == "1"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_STS"} & set(result)
    assert result["AWS_ENDPOINT_URL"] == URL


# Values that every quoting must survive.
NASTY = {
    "AWS_ENDPOINT_URL": URL,
    "PLAIN": "a-b_c.d/e:f,g",
    "EMPTY": "",
    "SPACE": " two  words ",
    "SINGLE": "it's",
    "DOUBLE": 'say "hi"',
    "DOLLAR": "$HOME `id` $(id) \\ \\\\ \\'",
    "KOREAN": "포즈 추정",
    "TWO_LINES": "one\ntwo",
}


def evaluated(command: list[str], environ: Environ) -> Environ:
    path = {"PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(command, env={**path, **environ}, capture_output=True, check=True)
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs if name not in ("PATH", "PWD", "SHLVL", "_", "OLDPWD")}


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_shells_read_it_back(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    user = {"AWS_PROFILE": "my work", "PLAIN": "was here", "AWS_ENDPOINT_URL_S3": "http://elsewhere"}
    text = environment.render(NASTY, "fish" if shell == "fish" else "sh", environ=user)
    active = evaluated([shell, "-c", f"{text}\nenv -0"], user)
    assert {name: active[name] for name in NASTY} == NASTY
    assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3"} & set(active)
    back = environment.render(NASTY, "fish" if shell == "fish" else "sh", unset=True, environ=active)
    after = evaluated([shell, "-c", f"{back}\nenv -0"], active)
    ours = {*NASTY, *user, environment.SAVED}
    assert {name: value for name, value in after.items() if name in ours} == user  # fish adds some of its own


def test_doing_it_twice_is_doing_it_once(client) -> None:
    user = {"HTTPS_PROXY": "http://proxy.example:3128", "AWS_PROFILE": "work"}
    first = environment.render(client(user), "sh", environ=user)
    active = evaluated(["sh", "-c", f"{first}\nenv -0"], user)
    assert environment.render(client(active), "sh", environ=active) == first
    assert environment.original(active) == user


def test_a_region_chosen_afterwards_stays(client) -> None:
    active = evaluated(["sh", "-c", environment.render(client(), "sh", environ={}) + "\nenv -0"], {})
    assert client({**active, "AWS_DEFAULT_REGION": "eu-west-3"})["AWS_DEFAULT_REGION"] == "eu-west-3"


def test_unset_without_a_memory_takes_only_what_is_ours() -> None:
    variables = {"AWS_ENDPOINT_URL": URL, "AWS_REGION": "us-east-1"}
    text = environment.render(variables, "sh", unset=True, environ={**variables, "AWS_REGION": "eu-west-1"})
    assert text == "unset AWS_ENDPOINT_URL\n"


@pytest.mark.parametrize("saved", ["", "{", "[1]", '"x"', "[[]]"])
def test_a_damaged_memory_is_no_memory(saved: str) -> None:
    assert environment.original({environment.SAVED: saved, "A": "1"}) == {"A": "1"}


def test_powershell_quotes_every_kind_of_quotation_mark() -> None:
    text = environment.render({"A": "it's ‘so’ $x"}, "powershell", environ={"AWS_PROFILE": "x"})
    assert "$Env:A = 'it''s ‘‘so’’ $x'\n" in text
    assert "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue\n" in text


def test_dotenv() -> None:
    text = environment.render(NASTY, "dotenv", environ={})
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:7070\n" in text
    assert 'TWO_LINES="one\\ntwo"\n' in text
    assert 'DOUBLE="say \\"hi\\""\n' in text
    assert environment.SAVED not in text


def test_json_says_null_for_what_must_not_be_set() -> None:
    assert json.loads(environment.render({"A": "1"}, "json", environ={"AWS_PROFILE": "x"})) == {
        "A": "1",
        "AWS_PROFILE": None,
    }


@pytest.mark.parametrize(("shell", "expected"), [("/usr/bin/fish", "fish"), ("/bin/zsh", "sh"), ("", "sh")])
def test_shell_of(shell: str, expected: str) -> None:
    assert environment.shell_of({"SHELL": shell}) == expected


def test_the_kernel_starts_with_the_variables(client, tmp_path: Path) -> None:
    folder = environment.write_kernelspec(client(), "/usr/bin/python3", folder=tmp_path / "kernels")
    written = json.loads((folder / "kernel.json").read_text())
    assert written["env"]["AWS_ENDPOINT_URL"] == URL
    assert written["argv"][-5:] == ["/usr/bin/python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    user = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "KEPT": "1"}
    argv = [*written["argv"][: written["argv"].index("/usr/bin/python3")], "env", "-0"]
    assert evaluated(argv, user) == {"KEPT": "1"}


def test_what_the_users_environment_tells_git_goes_on_counting(client) -> None:
    mine = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ann"}
    variables = client(mine)
    merged = environment.applied(mine, variables)
    told = [merged[f"GIT_CONFIG_KEY_{number}"] for number in range(int(merged["GIT_CONFIG_COUNT"]))]
    assert told[0] == "user.name"
    assert f"credential.{URL}.helper" in told
    assert "http.https://git-codecommit.*.amazonaws.com.sslCAInfo" in told


def test_git_hands_out_our_keys_only() -> None:
    for key, handed in (("AKIAMWEXAMPLE", True), ("ASIAMWEXAMPLE", True), ("AKIAIOSFODNN7EXAMPLE", False)):
        done = subprocess.run(
            ["sh", "-c", environment._GIT_HELPER.removeprefix("!") + " get"],
            env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == (f"username={key}%t\npassword=s\n" if handed else "")
