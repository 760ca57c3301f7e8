"""The buildspec language: what it means, and every problem with its place."""

import pytest

from modelwright.buildspec.specification import BuildspecError, parse

WHOLE = """
version: 0.2
run-as: root
env:
  shell: bash
  variables: {A: one, B: 2, C: true}
  exported-variables: [A]
  git-credential-helper: yes
phases:
  install:
    runtime-versions: {python: 3.11}
  build:
    on-failure: CONTINUE
    commands:
      - echo hello
      - |
        two
        lines
    finally: [echo end]
artifacts:
  files: ['**/*']
  base-directory: out
  discard-paths: no
  exclude-paths: [x/**/*]
  secondary-artifacts:
    more: {files: a.txt, name: n}
"""


def test_it_works():
    found = parse(WHOLE)
    assert found.shell == "/bin/bash"
    assert found.variables == {"A": "one", "B": "2", "C": "true"}
    assert found.exported == ("A",)
    assert found.git_credential_helper
    install, build = found.phases
    assert install.runtime_versions == {"python": "3.11"}
    assert build.commands == ("echo hello", "two\nlines\n")
    assert (build.finally_, build.on_failure) == (("echo end",), "CONTINUE")
    assert found.artifacts.base_directory == "out"
    assert found.secondary_artifacts["more"].files == ("a.txt",)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("version: 0.1\nphases: {build: {commands: [a]}}", ["version"]),
        ("version: 0.2", ["phases"]),
        ("version: 0.2\nphases: {build: {comands: [a]}}", ["phases.build.comands", "phases.build.commands"]),
        ("version: 0.2\nphases: {build: {commands: [{echo: x}]}}", ["phases.build.commands[0]"]),
        (
            "version: 0.2\nrun-as: joe\nbatch: {}\nenv: {secrets-manager: {A: b}, parameter-store: {A: b}, "
            "shell: pwsh}\n"
            "phases: {build: {commands: [a], on-failure: RETRY}}\nartifacts: {name: x}",
            [
                *("run-as", "batch", "env.parameter-store", "env.secrets-manager", "env.shell"),
                *("phases.build.on-failure", "artifacts.files"),
            ],
        ),
        ("[1]", ["buildspec"]),
        ("a: [", ["line 1, column 5"]),
    ],
)
def test_problems_have_their_places(text, places):
    with pytest.raises(BuildspecError) as caught:
        parse(text)
    for place in places:
        assert any(problem.startswith(place) for problem in caught.value.problems), caught.value.problems


def test_what_has_no_effect_is_noted():
    text = "version: 0.2\nphases: {build: {commands: [a]}}\ncache: {paths: [x]}\nreports: {r: {files: [x]}}"
    assert len(parse(text).notes) == 2


def test_problems_have_their_lines_and_say_what_is_allowed():
    text = """version: 0.2
env:
  variables:
    A: one
  shell: zsh
phases:
  install:
    comands: [a]
  build:
    commands:
      - echo good
      - {echo: bad}
    on-failure: RETRY
"""
    with pytest.raises(BuildspecError) as caught:
        parse(text)
    problems = caught.value.problems
    assert "env.shell (line 5): is 'zsh': builds here have sh and bash" in problems
    assert "phases.install.commands (line 7): is missing or empty" in problems
    (unknown,) = [each for each in problems if each.startswith("phases.install.comands (line 8)")]
    assert "is not known; known: run-as, on-failure, commands, finally" in unknown
    (nested,) = [each for each in problems if each.startswith("phases.build.commands[1] (line 12)")]
    assert "quote a command that has ': ' in it" in nested
    assert "phases.build.on-failure (line 13): is 'RETRY': ABORT and CONTINUE are supported" in problems


def test_anchors_and_odd_keys_are_no_trouble():
    found = parse("version: 0.2\nphases: {build: {commands: &c [a]}, post_build: {commands: *c}}")
    assert found.phases[1].commands == ("a",)
    for text in ("? [a, b]\n: c\n", "? {a: b}\n: c\n", "&a [*a]", "{1: 2, null: 3}", ""):
        with pytest.raises(BuildspecError):
            parse(text)
