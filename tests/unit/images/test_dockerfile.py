import pytest

from modelwright.images.dockerfile import (
    DockerfileError,
    expand,
    json_form,
    key_values,
    parse_dockerfile,
    split_words,
)


def instructions(text):
    return parse_dockerfile(f"FROM x\n{text}").stages[0].instructions


def test_it_works():
    parsed = parse_dockerfile(
        "# syntax=docker/dockerfile:1\n"
        "ARG PY=3.11\n"
        "from --platform=linux/amd64 python:${PY} as Base\n"
        "RUN pip install a \\\n"
        "    # a comment in between\n"
        "\n"
        "    b\n"
        "FROM base\n"
        "COPY --from=base --chown=1:1 /a /b\n"
    )
    assert [stage.name for stage in parsed.stages] == ["base", None]
    assert parsed.stages[0].base == "python:${PY}"
    run = parsed.stages[0].instructions[0]
    assert (run.line, run.name, run.text.split()) == (4, "RUN", ["pip", "install", "a", "b"])
    copy = parsed.stages[1].instructions[0]
    assert (copy.line, copy.text, copy.flag("from"), copy.flag("chown")) == (9, "/a /b", "base", "1:1")


def test_another_escape():
    (run,) = parse_dockerfile("# escape=`\nFROM x\nRUN a `\n b\\\n").stages[0].instructions
    assert run.text.split() == ["a", "b\\"]


def test_here_documents():
    run, copy = instructions("RUN <<EOF\npip install a\npip install b\nEOF\nCOPY <<'X' /y\n$HOME\nX\n")
    assert run.heredocs[0].content == "pip install a\npip install b\n"
    assert run.heredocs[0].expand
    assert (copy.heredocs[0].content, copy.heredocs[0].expand) == ("$HOME\n", False)
    (indented,) = instructions("RUN <<-EOF\n\ttrue\n\tEOF\n")
    assert indented.heredocs[0].content == "true\n"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "no FROM"),
        ("RUN x\nFROM y", 1, "before the first FROM"),
        ("FROM x\n\nFOO bar", 3, "unknown instruction FOO"),
        ("FROM a b", 1, "FROM takes"),
        ("FROM x\nRUN <<EOF\nabc\n", 2, "has no end"),
        ("FROM x\nCOPY", 2, "COPY needs an argument"),
    ],
)
def test_errors_name_the_line(text, line, problem):
    with pytest.raises(DockerfileError, match=f"Dockerfile line {line}: .*{problem}"):
        parse_dockerfile(text)


def test_json_form():
    assert json_form('["python", "train.py"]') == ["python", "train.py"]
    assert json_form("[not json") is None
    assert json_form("python train.py") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/b", "1/b"),
        ("${A}b", "1b"),
        ("${NO:-x${A}}", "x1"),
        ("${A:+yes}${NO:+no}", "yes"),
        ("\\$A", "$A"),
        ("'$A'", "$A"),
        ('"$A b"', "1 b"),
        ("$NO", ""),
        ("a$", "a$"),
        ('"a\\b"', "a\\b"),
    ],
)
def test_expand(text, expected):
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize("text", ["${A", "'open", '"open', "${A%x}", "${}"])
def test_expand_refuses(text):
    with pytest.raises(DockerfileError, match="line 7"):
        expand(text, {}, line=7)


def test_words_keep_their_quotes():
    assert split_words('a="b c"  d\\ e') == ['a="b c"', "d\\ e"]


def test_key_values_and_the_old_form():
    (new,) = instructions('ENV A=1 B="x y" C=a\\ b')
    assert key_values(new, lambda word: expand(word, {})) == [("A", "1"), ("B", "x y"), ("C", "a b")]
    (old,) = instructions("ENV A the rest of it")
    assert key_values(old, lambda word: expand(word, {})) == [("A", "the rest of it")]
    (broken,) = instructions("ENV A")
    with pytest.raises(DockerfileError, match="has no value"):
        key_values(broken, str)
