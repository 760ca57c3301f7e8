"""The authority: what clients accept from it, and what they must not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from modelwright.errors import ConfigurationError
from modelwright.server import authority as module
from modelwright.server.authority import Authority, is_aws

HOSTS = [
    "sts.us-east-1.amazonaws.com",
    "s3.amazonaws.com",
    "my-bucket.s3.eu-central-1.amazonaws.com",
    "dotted.bucket.name.s3.us-east-1.amazonaws.com",
    "111122223333.dkr.ecr.us-east-1.amazonaws.com",
    "s3.cn-north-1.amazonaws.com.cn",
    "sagemaker.us-east-1.api.aws",
    f"{'b' * 63}.s3.us-east-1.amazonaws.com",
]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """Both sides in memory. Returns the TLS version; raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return near.version() or ""
    raise AssertionError("the handshake does not end")


def client_of(bundle: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(bundle))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
    return context


@pytest.mark.parametrize("host", HOSTS)
def test_clients_accept_every_name_of_aws(authority: Authority, host: str) -> None:
    assert handshake(authority.context(host), client_of(authority.bundle({})), host) == "TLSv1.3"


def test_a_certificate_is_for_its_host_only(authority: Authority) -> None:
    client = client_of(authority.bundle({}))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        handshake(authority.context("sts.amazonaws.com"), client, "s3.amazonaws.com")


def test_without_the_bundle_nobody_accepts_it(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority.context("sts.amazonaws.com"), ssl.create_default_context(), "sts.amazonaws.com")


@pytest.mark.parametrize("host", ["example.com", "amazonaws.com.example.com", "127.0.0.1"])
def test_clients_refuse_other_names_even_if_the_key_is_stolen(
    authority: Authority, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_aws", lambda _: True)
    monkeypatch.setattr(module, "_HOST", module.re.compile(".*"))
    if host[0].isdigit():
        monkeypatch.setattr(x509, "DNSName", lambda name: x509.IPAddress(module.ipaddress.ip_address(name)))
    context = authority.context(host)
    monkeypatch.undo()
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree violation"):
        handshake(context, client_of(authority.bundle({})), host)


@pytest.mark.parametrize(
    "host", ["example.com", "amazonaws.com.evil.org", "notamazonaws.com", "../x.amazonaws.com", ""]
)
def test_we_make_no_certificate_for_other_names(authority: Authority, host: str) -> None:
    with pytest.raises(ValueError, match="no host name"):
        authority.context(host)


def test_names_are_compared_without_case_and_final_dot(authority: Authority) -> None:
    assert authority.context("STS.amazonaws.com.") is authority.context("sts.amazonaws.com")
    assert is_aws("S3.AMAZONAWS.COM")
    assert not is_aws("amazonaws.com.evil.org")


def test_the_authority_is_kept(tmp_path: Path) -> None:
    first = Authority.open(tmp_path)
    assert Authority.open(tmp_path).certificate == first.certificate


def test_an_authority_about_to_expire_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AUTHORITY_LIFE", 10 * module._DAY)
    old = Authority.open(tmp_path)
    monkeypatch.undo()
    assert Authority.open(tmp_path).certificate != old.certificate


def test_the_key_is_private(authority: Authority) -> None:
    authority.context("sts.amazonaws.com")
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in authority.folder.iterdir()] == ["authority.pem"]
    assert (authority.folder / "authority.pem").stat().st_mode & 0o777 == 0o600


def test_the_bundle_holds_no_key(authority: Authority) -> None:
    assert "PRIVATE" not in authority.bundle({}).read_text()


def test_contexts_are_bounded(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONTEXTS_KEPT", 3)
    first = authority.context("b0.s3.amazonaws.com")
    for number in range(1, 5):
        authority.context(f"b{number}.s3.amazonaws.com")
    assert len(authority._contexts) == 3
    assert authority.context("b0.s3.amazonaws.com") is not first


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_authority_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "authority.pem").write_bytes(content)
    with pytest.raises(ConfigurationError, match="Delete it"):
        Authority.open(tmp_path)


def test_the_bundle_keeps_the_public_roots(authority: Authority) -> None:
    assert authority.bundle({}).read_text().count("BEGIN CERTIFICATE") > 100


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_bundle_keeps_the_users_own_roots(authority: Authority, tmp_path: Path, variable: str) -> None:
    own = Authority.open(tmp_path / "company")
    file = tmp_path / "company.pem"
    file.write_bytes(own.certificate.public_bytes(serialization.Encoding.PEM))
    bundle = authority.bundle({variable: str(file)})
    assert bundle != authority.bundle({})
    for side in (own, authority):
        assert handshake(side.context("sts.amazonaws.com"), client_of(bundle), "sts.amazonaws.com")


def test_a_bundle_of_a_bundle_is_the_same_bundle(authority: Authority) -> None:
    bundle = authority.bundle({})
    assert authority.bundle({"AWS_CA_BUNDLE": str(bundle)}).read_text().count("BEGIN") == bundle.read_text().count(
        "BEGIN"
    )


def test_a_bundle_that_is_not_there_is_a_clear_error(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="REQUESTS_CA_BUNDLE"):
        authority.bundle({"REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem")})


def test_a_bundle_follows_its_sources(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "company.pem"
    blocks = [f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n" for name in ("ONE", "OTHER")]
    file.write_text(blocks[0])
    first = authority.bundle({"SSL_CERT_FILE": str(file)})
    file.write_text("".join(blocks))
    assert "OTHER" in authority.bundle({"SSL_CERT_FILE": str(file)}).read_text()
    assert "OTHER" not in first.read_text()  # a client may still be using it
    first.unlink()
    file.write_text(blocks[0])
    assert authority.bundle({"SSL_CERT_FILE": str(file)}).exists()


def test_a_folder_of_roots(authority: Authority, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"-----BEGIN CERTIFICATE-----\n{name}{name}\n-----END CERTIFICATE-----\n")
    text = authority.bundle({"REQUESTS_CA_BUNDLE": str(tmp_path)}).read_text()
    assert "\naa\n" in text
    assert "\nbb\n" in text
