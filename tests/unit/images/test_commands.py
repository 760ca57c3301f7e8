import pytest

from modelwright.images.commands import DebianInstall, MakeFolder, Nothing, PipInstall, understand


def test_it_works():
    script = """apt-get update && apt-get install -y --no-install-recommends git=1:2 libgl1 \\
    && rm -rf /var/lib/apt/lists/*
    mkdir -p /opt/a b; pip3 --no-cache-dir install -r requirements.txt "torch>=2"
    python -m pip install --upgrade "pip==${P}"; echo 'a > b'"""
    assert understand(script, {"P": "9"}) == [
        Nothing(),
        DebianInstall(("git=1:2", "libgl1")),
        Nothing(),
        MakeFolder(("/opt/a", "b")),
        PipInstall(("-r", "requirements.txt", "torch>=2")),
        PipInstall(("--upgrade", "pip==9")),
        Nothing(),
    ]


def test_variables():
    assert understand("pip install x==$V", {"V": "2"}) == [PipInstall(("x==2",))]


@pytest.mark.parametrize(
    "script",
    [
        "pip install x | tail -1",
        "pip install x || true",
        "pip install $(cat list)",
        "pip install x > log",
        "pip install -e .",
        "pip install --target /opt x",
        "pip install /wheels/*.whl",
        "pip uninstall x",
        "apt-get source x",
        "rm -rf /opt/program",
        "curl https://example.com",
        "mkdir /opt/x",
        "pip install 'x",
        "A=1 pip install x",
        "if true; then pip install x; fi",
    ],
)
def test_anything_else_is_for_a_shell(script):
    assert understand(script, {}) is None
