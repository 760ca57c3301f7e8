"""The environment that makes official clients use this server, and how each shell is told.

Everything that Modelwright changes about a client is in here: no client needs a patch, a plugin or an argument, and
with these variables unset it talks to AWS again. Three rules: what the user had set for other purposes goes on working
(own roots, own proxy, own region); what would lead a call to real AWS is taken out; doing it twice is doing it once.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server.authority import AWS_DOMAINS, BUNDLE_VARIABLES, OVERRIDING_VARIABLES, Authority
from modelwright.server.keys import AccessKey, write_private
from modelwright.server.running import is_loopback

SHELLS = ("sh", "fish", "powershell", "dotenv", "json")

SAVED = "MODELWRIGHT_SAVED_ENVIRONMENT"
"""What the variables held before, as JSON: so that `env --unset` gives it back, and a second `env` does not stack."""

INTERFERING = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_S3_USE_ARN_REGION",
    "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS",
)
"""Variables that would lead a client elsewhere, or let it send what our keys do not have."""

_OWN_ENDPOINT = re.compile(r"AWS_ENDPOINT_URL_\w+|S3_ENDPOINT_URL|S3_ENDPOINT")
_CODECOMMIT = "https://git-codecommit.*.amazonaws.com"
_GIT_HELPER = (
    '!f() { case "$1:$AWS_ACCESS_KEY_ID" in get:A???MW*) '
    'echo "username=$AWS_ACCESS_KEY_ID${AWS_SESSION_TOKEN:+%$AWS_SESSION_TOKEN}"; '
    'echo "password=$AWS_SECRET_ACCESS_KEY";; esac; }; f'
)
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_TELEMETRY = "SAGEMAKER_USER_CONFIG_OVERRIDE"
_TELEMETRY_FALLBACK = "SAGEMAKER_ADMIN_CONFIG_OVERRIDE"
_TELEMETRY_OFF = """\
# Made by Modelwright: the SDK's telemetry would be sent to AWS before every call.
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


def client_environment(
    settings: Settings,
    url: str,
    key: AccessKey,
    authority: Authority,
    environ: Mapping[str, str],
    *,
    region: str | None = None,
) -> dict[str, str]:
    """What to set for a client whose environment is `environ`. `url` is the running server's; `region` is the client's
    where that is known better than by its environment (a job's).

    Raises ConfigurationError when a file that the environment names can't be read.
    """
    before = original(environ)
    own, default = (region, region) if region else _regions(settings, environ)
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": own,
        "AWS_DEFAULT_REGION": default,
        "AWS_EC2_METADATA_DISABLED": "true",
        **_telemetry(settings, before),
    }
    if is_loopback(settings.host) and is_loopback(urlsplit(url).hostname or ""):  # else it is no proxy: see `connect`
        bundle = str(authority.bundle(before))
        variables |= dict.fromkeys(BUNDLE_VARIABLES, bundle)
        variables |= dict.fromkeys((name for name in OVERRIDING_VARIABLES if name in before), bundle)
        variables |= dict.fromkeys(("HTTPS_PROXY", "https_proxy"), url)
        variables |= _git(before, url, bundle)
    else:
        variables |= _git(before, url)
    variables |= dict.fromkeys(("NO_PROXY", "no_proxy"), _no_proxy(before))
    return variables


def interfering(environ: Mapping[str, str]) -> list[str]:
    """The variables of `environ` that must go."""
    return sorted(name for name in environ if name in INTERFERING or _OWN_ENDPOINT.fullmatch(name))


def applied(environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a client: `environ` with the variables set and what interferes taken out."""
    before = original(environ)
    gone = set(interfering(before))
    return {name: value for name, value in before.items() if name not in gone} | dict(variables)


def original(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` as it was before Modelwright's variables were set in it."""
    result = dict(environ)
    saved = result.pop(SAVED, "")
    if saved:
        try:
            for name, value in dict(json.loads(saved)).items():
                result.pop(name, None)
                if isinstance(value, str):
                    result[name] = value
        except (ValueError, TypeError):
            pass  # somebody else's, or cut off: then there is nothing to take back
    return result


def _regions(settings: Settings, environ: Mapping[str, str]) -> tuple[str, str]:
    """AWS_REGION and AWS_DEFAULT_REGION: the user's own (boto3 reads the second only), else the setting.

    From the environment as it is now, not as it was before us: the user may have chosen another one since.
    """
    own, default = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
    fallback = own or default or _profile_region(environ) or settings.region
    return own or fallback, default or fallback


def _profile_region(environ: Mapping[str, str]) -> str | None:
    file = Path(environ.get("AWS_CONFIG_FILE") or Path(environ.get("HOME", "~")).expanduser() / ".aws" / "config")
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    section = "default" if profile == "default" else f"profile {profile}"
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
        return parser.get(section, "region", fallback=None)
    except (configparser.Error, UnicodeDecodeError, OSError):
        return None


def _telemetry(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Turn the SDK's telemetry off by a configuration file, beside the user's own.

    The SDK merges an administrator's and a user's file: ours takes the place that is free. Where both are taken they
    stay as they are, and the proxy answers the telemetry host.
    """
    folder = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config")
    user = environ.get(_TELEMETRY) or (folder / "sagemaker" / "config.yaml").exists()
    administrator = environ.get(_TELEMETRY_FALLBACK) or Path("/etc/xdg/sagemaker/config.yaml").exists()
    if user and administrator:
        return {}
    path = settings.home / "sagemaker-sdk.yaml"
    try:
        if not path.exists() or path.read_text() != _TELEMETRY_OFF:
            write_private(path, _TELEMETRY_OFF.encode())
            path.chmod(0o644)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror or error}") from error
    return {_TELEMETRY_FALLBACK if user else _TELEMETRY: str(path)}


def _git(environ: Mapping[str, str], url: str, bundle: str = "") -> dict[str, str]:
    """How git (2.31 or newer) reaches CodeCommit's URLs, and ours, by environment alone.

    A git with GnuTLS knows no SSL_CERT_FILE, and GIT_SSL_CAINFO would hide roots of the user's own configuration.
    The helper hands out the access key only where it is one of ours: the secret of a real one must never be sent. What
    the user's environment tells git in the same way goes on counting.
    """
    given = environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0
    settings = []
    if bundle:  # we are the proxy
        settings += [(f"http.{_CODECOMMIT}.proxy", url), (f"http.{_CODECOMMIT}.sslCAInfo", bundle)]
    for place in (_CODECOMMIT, url) if bundle else (url,):
        # An empty helper takes out those of the user's own configuration, which would keep our keys.
        settings += [(f"credential.{place}.helper", ""), (f"credential.{place}.helper", _GIT_HELPER)]
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _no_proxy(environ: Mapping[str, str]) -> str:
    """The user's exceptions without those that would let calls past us to AWS, plus this machine."""
    given = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    kept = [entry for entry in re.split(r"[,\s]+", given) if entry and not _covers_aws(entry)]
    return ",".join(dict.fromkeys([*kept, *_LOCAL_HOSTS]))


def _covers_aws(entry: str) -> bool:
    """Whether an entry keeps some of AWS's names from the proxy: `*`, `.amazonaws.com`, `s3.amazonaws.com`, `com`."""
    name = entry.lower().removeprefix("*").strip(".").partition(":")[0]
    return not name or any(
        name == domain or name.endswith(f".{domain}") or domain.endswith(f".{name}") for domain in AWS_DOMAINS
    )


def shell_of(environ: Mapping[str, str]) -> str:
    """The syntax that the user's shell wants."""
    if "fish" in Path(environ.get("SHELL", "")).name:
        return "fish"
    return "powershell" if sys.platform == "win32" else "sh"


def render(
    variables: Mapping[str, str], shell: str, *, unset: bool = False, environ: Mapping[str, str] | None = None
) -> str:
    """Commands (or a file) that set the variables in a shell; with `unset`, that put back what was there before.

    `environ` is the environment of the shell that will read it; the process's own by default.
    """
    environ = os.environ if environ is None else environ
    before = original(environ)
    if unset:
        changes = _put_back(variables, environ, before)
    else:
        changes = dict(variables) | dict.fromkeys(interfering(before))
        if shell in ("sh", "fish", "powershell"):
            changes[SAVED] = json.dumps({name: before.get(name) for name in changes}, sort_keys=True)
    return _RENDERERS[shell](changes)


def _put_back(
    variables: Mapping[str, str], environ: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, str | None]:
    if SAVED in environ:
        touched = {name for name in {*environ, *before} if environ.get(name) != before.get(name)}
        return {name: before.get(name) for name in sorted(touched)}
    # Set by other means (a dotenv file, say): only what still holds our value is ours to take away.
    return dict.fromkeys(name for name, value in variables.items() if environ.get(name, value) == value)


def _sh(changes: Mapping[str, str | None]) -> str:
    return _lines(
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}" for name, value in changes.items()
    )


def _fish(changes: Mapping[str, str | None]) -> str:
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _lines(
        f"set -e {name};" if value is None else f"set -gx {name} {quoted(value)};" for name, value in changes.items()
    )


def _powershell(changes: Mapping[str, str | None]) -> str:
    def quoted(value: str) -> str:
        # PowerShell takes typographic quotation marks for plain ones.
        return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", value) + "'"

    return _lines(
        f"Remove-Item Env:{name} -ErrorAction SilentlyContinue" if value is None else f"$Env:{name} = {quoted(value)}"
        for name, value in changes.items()
    )


def _dotenv(changes: Mapping[str, str | None]) -> str:
    def quoted(value: str) -> str:
        if re.fullmatch(r"[\w@%+=:,./-]*", value, re.ASCII):
            return value
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value).replace("\n", "\\n") + '"'

    return _lines(
        f"# {name} must not be set" if value is None else f"{name}={quoted(value)}" for name, value in changes.items()
    )


def _json(changes: Mapping[str, str | None]) -> str:
    return json.dumps(changes, indent=2, ensure_ascii=False) + "\n"


def _lines(lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)  # type: ignore[attr-defined]


_RENDERERS = {"sh": _sh, "fish": _fish, "powershell": _powershell, "dotenv": _dotenv, "json": _json}


def write_kernelspec(
    variables: Mapping[str, str], python: str, *, name: str = "modelwright", folder: Path | None = None
) -> Path:
    """Write a Jupyter kernel that starts `python` with these variables, and return its folder.

    `folder` is where Jupyter looks for kernels; the user's own by default.
    """
    kernels = folder or _jupyter_data(os.environ) / "kernels"
    # A kernel's specification can set variables, not take them away: env(1) does that.
    unset = [part for variable in INTERFERING for part in ("-u", variable)]
    specification = {
        "argv": ["env", *unset, python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Modelwright",
        "language": "python",
        "env": dict(variables),
        "metadata": {"debugger": True},
    }
    target = kernels / name
    try:
        write_private(target / "kernel.json", json.dumps(specification, indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(f"The kernel can't be written to {target}: {error.strerror or error}") from error
    return target


def _jupyter_data(environ: Mapping[str, str]) -> Path:
    if named := environ.get("JUPYTER_DATA_DIR"):
        return Path(named)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Jupyter"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter"
