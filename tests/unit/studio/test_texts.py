"""Every text that Studio says is there in both languages, and nothing is said that can't be translated."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import modelwright.studio
from modelwright.projects.catalog import Catalog
from modelwright.studio import application, endpoint_metrics, joblogs, origins, outline, plots, texts
from modelwright.studio.korean import KOREAN

FOLDER = Path(modelwright.studio.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
CALL = re.compile(r"""\bt\(\s*'((?:[^'\\]|\\.)*)'""")
UNTRANSLATED = {
    "Modelwright",
    "ms",
    "modelwright studio",
    "0",
    "0 s",
    "1",
    "·",
    "×",
    "–",
    "/",
    "↑",
    "↓",
    "−",
    "±",
    "+",
    "-",
    "→",
    "⋯",
    ":",
    ",",
    "(",
    ")",
}
ASIDE = {"Pending", "Downloading", "Uploading"}
"""AWS's names of a job's stages."""


def in_templates():
    return {text for path in TEMPLATES for text in CALL.findall(path.read_text())}


def in_modules():
    """What is handed to `view.texts(...)` as it is, and the texts of the reports' problems."""
    found = set()
    for path in FOLDER.glob("*.py"):
        if path.name == "korean.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "problem" for t in node.targets)
            if named and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                position = {"texts": 0, "t": 0, "_denied": 1, "Remark": 0}.get(name)
                if position is not None:
                    found |= {each.value for each in ast.walk(node.args[position]) if isinstance(each, ast.Constant)}
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
                problem = node.value.elts[1]
                if isinstance(problem, ast.Constant) and isinstance(problem.value, str):
                    found.add(problem.value)
    return found - {""}


def of_templates():
    """What Modelwright's own project templates say of themselves, and of what they ask for."""
    templates = Catalog(Path("there is none")).templates()
    asked = (rules for each in templates for name, rules in each.parameters.items() if not name.startswith("SageMaker"))
    return {each.description for each in templates} | {rules["Description"] for rules in asked}


def in_tables():
    return {
        *(text for _, text in texts.STATUSES.values()),
        *texts.STEP_TYPES.values(),
        texts.SECONDS, texts.MINUTES, texts.HOURS,
        *(kind.label for kind in joblogs.KINDS.values()),
        *outline._WRONG.values(),
        *("Deployment", "Build", "Endpoint"),
        *joblogs.STAGES.values(),
        *origins._CODE.values(), "Repository", "Commit",
        *(text for _, title, x, _, y, _, _ in plots._CURVES for text in (title, x, y)),
        *(label for _, label in (*endpoint_metrics.ERRORS, *endpoint_metrics.LATENCIES, *endpoint_metrics.LOADS)),
        *(each.label for each in endpoint_metrics.RANGES),
        "Production", "Staging",
        *of_templates(),
        *(application._heading(status) for status in (400, 401, 403, 404, 405, 500)),
        "A value is needed.", "Choose one of: {choices}", "This value can't be used.",
        "String", "Integer", "Float", "Boolean",
    }  # fmt: skip


def test_every_text_is_there_in_korean():
    said = in_templates() | in_modules() | in_tables()
    assert "Model registry" in said
    assert "There is no such access key, or the secret is another one." in said
    assert sorted(said - KOREAN.keys()) == []


def test_nothing_is_translated_that_is_not_said():
    known = in_templates() | in_modules() | in_tables() | ASIDE
    assert sorted(name for name in KOREAN.keys() - known if not name.startswith("Downloading")) == []


@pytest.mark.parametrize("english", sorted(KOREAN))
def test_both_languages_have_the_same_gaps(english):
    assert gaps(english) == gaps(KOREAN[english])


def gaps(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_say_nothing_by_themselves(path):
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", path.read_text(), flags=re.S)
    bare = re.sub(r"<[^>]*>", "\n", bare, flags=re.S)
    words = {line.strip(" ·“”:()%,") for line in bare.splitlines()} - {""}
    assert words - UNTRANSLATED == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_attributes_that_are_read_out_are_translated(path):
    text = path.read_text()
    for attribute in ("aria-label", "placeholder", "title", "alt"):
        for value in re.findall(rf'\s{attribute}="([^"]*)"', text):
            assert value.startswith(("{{", "{%")), f"{attribute}={value!r}"


def test_what_is_missing_is_said_in_english():
    assert texts.LANGUAGES["ko"]("Nobody wrote this {what}", what="down") == "Nobody wrote this down"
