"""Help, abbreviations, mistakes: what the command line says before it does anything."""

import json
import shutil
import subprocess
import sys

import click
import pytest

from modelwright.cli import MODULES, cli

HEAVY = ("boto3", "botocore", "sqlalchemy", "rich", "uvicorn", "cryptography", "asyncio")


def commands(command=cli, path=()):
    """Every command with its words."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


LEAVES = [(path, command) for path, command in commands() if not isinstance(command, click.Group)]


def imported(code):
    listing = f"import sys; {code}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_help_and_the_common_options(modelwright, path, command):
    code, out, err = modelwright(*path, "-h")
    assert (code, err) == (0, "")
    assert command.help
    for option in ("--home", "--json", "--help"):
        assert option in out


def test_only_what_starts_a_server_takes_a_port():
    takes = {path for path, command in LEAVES if any(option.name == "port" for option in command.params)}
    assert takes == {("up",), ("demo",)}


def test_every_command_is_where_the_table_says():
    named = {name for names in MODULES.values() for name in names}
    assert {path[0] for path, _ in LEAVES} == named


def test_without_a_command_there_is_help(modelwright):
    code, out, err = modelwright()
    assert (code, out) == (2, "")
    assert "Commands:" in err
    assert "Exit status:" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sttus"], "There is no command 'sttus'. Did you mean status? See: modelwright --help"),
        (["e", "list"], "'e' may be endpoints, env or executions. See: modelwright --help"),
        (["d"], "'d' may be demo, deployments, doctor or down. See: modelwright --help"),
        (["zzz"], "There is no command 'zzz'. See: modelwright --help"),
        (["jobs", "lst"], "There is no command 'lst'. Did you mean list? See: modelwright jobs --help"),
        (["jobs", "list", "--limt", "3"], "Did you mean '--limit'? See: modelwright jobs list --help"),
        (["jobs", "list", "--status", "Nope"], "'Nope' is not one of"),
        (["up", "--port", "99999"], "'--port': 99999 is not in the range"),
        (["run"], "Missing argument"),
        (["run", "--output", "x.ipynb", "a.py"], "--output is for a notebook, and a.py is none."),
        (["run", "a.ipynb", "b"], "A notebook takes no arguments: b"),
        (["pipelines", "start", "p", "-p", "x"], "--parameter x: must be NAME=VALUE."),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(modelwright, arguments, said):
    code, out, err = modelwright(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("modelwright: ")
    assert said in line


def test_an_abbreviation_that_fits_one_command_is_enough(modelwright):
    code, out, _ = modelwright("pip", "sh", "-h")
    assert code == 0
    assert "Usage: modelwright pipelines show" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs", "list"],
        ["jobs", "show", "x"],
        ["logs", "x", "-f"],
        ["pipelines", "list", "--json"],
        ["executions", "watch", "x"],
        ["models", "approve", "g/1"],
        ["env"],
        ["run", "--", "true"],
        ["kernel", "--python", sys.executable],
    ],
    ids=" ".join,
)
def test_without_a_server_it_says_how_to_start_one(modelwright, nobodys_home, arguments):
    code, out, err = modelwright(*arguments)
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    assert f"No server runs on {nobodys_home}. Start one: modelwright up --detach" in line


def test_the_way_out_names_the_home_that_was_named(modelwright, tmp_path):
    *_, err = modelwright("jobs", "list", "--home", tmp_path / "other")
    assert f"modelwright up --detach --home {tmp_path / 'other'}" in err


def test_status_and_down_without_a_server(modelwright, nobodys_home):
    assert modelwright("status") == (3, f"No server runs on {nobodys_home}.\n", "")
    assert modelwright("down") == (0, f"No server runs on {nobodys_home}.\n", "")
    code, out, _ = modelwright("status", "--json")
    assert (code, json.loads(out)) == (3, {"Running": False})


@pytest.mark.parametrize("arguments", [["up"], ["up", "--detach"], ["jobs", "list"], ["images", "list"]], ids=" ".join)
def test_a_home_that_is_a_file(modelwright, tmp_path, arguments):
    (tmp_path / "file").touch()
    code, out, err = modelwright(*arguments, "--home", tmp_path / "file")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert f"The home folder {tmp_path / 'file'} can't be used" in line
    assert "--home" in line


def test_a_setting_that_is_wrong(modelwright, monkeypatch):
    monkeypatch.setenv("MODELWRIGHT_PORT", "abc")
    assert modelwright("status") == (
        2,
        "",
        "modelwright: port = 'abc' (from the environment): must be a whole number.\n",
    )


def test_images_and_doctor_need_no_server(modelwright):
    code, out, err = modelwright("images", "list")
    assert (code, out) == (0, "")
    assert "No images yet" in err
    assert json.loads(modelwright("images", "list", "--json")[1]) == []
    code, out, _ = modelwright("doctor", "--json")
    assert code == 0
    assert {"Topic", "Good", "Text"} == set(json.loads(out)[0])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_scripts(modelwright, shell, tmp_path):
    code, out, _ = modelwright("completion", shell)
    assert code == 0
    assert "_MODELWRIGHT_COMPLETE" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True, timeout=30)


def test_completion_for_the_users_own_shell(modelwright, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert modelwright("completion")[1] == modelwright("completion", "fish")[1]
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, _, err = modelwright("completion")
    assert code == 2
    assert "Name one of bash, zsh, fish" in err


def test_completion_without_a_server_completes_nothing(modelwright, monkeypatch):
    for name, value in {"COMPLETE": "bash_complete", "COMP_WORDS": "modelwright jobs show ", "COMP_CWORD": "3"}.items():
        monkeypatch.setenv(f"_MODELWRIGHT_{name}" if name == "COMPLETE" else name, value)
    code, out, err = modelwright()
    assert (code, out.strip(), err) == (0, "", "")


def test_daily_commands_import_no_more_than_they_need():
    """Each of these costs every command, and every press of Tab, tens to hundreds of milliseconds."""
    assert not imported("import modelwright.cli.server") & set(HEAVY)


def test_up_does_not_import_what_only_clients_need():
    loaded = imported("import modelwright.cli.server, modelwright.app")
    assert not loaded & {"boto3", "s3transfer", "rich", "requests"}
