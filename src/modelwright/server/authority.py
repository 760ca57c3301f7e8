"""The certificate authority behind the CONNECT proxy.

The official SDKs call STS as `https://sts.<region>.amazonaws.com`, whatever the environment says. The proxy answers
such names itself, with TLS certificates made here. The authority belongs to one home folder, its key never leaves it
(0600), and it can vouch for AWS's names only: a name constraint that every TLS library checks. So a client that trusts
it loses nothing elsewhere.

Clients learn of it by a bundle file: the roots that they trusted before, plus this one.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import re
import ssl
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from modelwright.errors import ConfigurationError
from modelwright.server.keys import write_private

AWS_DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws")
"""Whatever lies below these is AWS's: answered here, never tunnelled."""

BUNDLE_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""Where boto3 and the CLI, requests, OpenSSL and curl look for the roots that they trust."""
OVERRIDING_VARIABLES = ("GIT_SSL_CAINFO",)
"""Tools that look at SSL_CERT_FILE, but at these first: to be set only where the user has set them."""

_DAY = datetime.timedelta(days=1)
_AUTHORITY_LIFE = 3650 * _DAY
_RENEW_BEFORE = 400 * _DAY
_LEAF_LIFE = 397 * _DAY
_CONTEXT_AGE = 24 * 3600.0
_CONTEXTS_KEPT = 256
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


def is_aws(host: str) -> bool:
    """Whether a host name is one of AWS's API names."""
    name = host.lower().rstrip(".")
    return name.endswith(tuple(f".{domain}" for domain in AWS_DOMAINS)) or name in AWS_DOMAINS


class Authority:
    """A home folder's authority. Thread-safe."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.folder = folder
        self.certificate = certificate
        self._key = key
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._bundles: dict[tuple[_Source, ...], Path] = {}
        self._contexts: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read the authority, or make it where there is none or it is about to expire.

        Raises ConfigurationError when the folder can't be used.
        """
        path = folder / "authority.pem"
        try:
            try:
                key, certificate = _parse(path.read_bytes())
                fresh = certificate.not_valid_after_utc - _now() > _RENEW_BEFORE
            except FileNotFoundError:
                fresh = False
            if not fresh:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
                key = ec.generate_private_key(ec.SECP256R1())
                certificate = _self_signed(key)
                write_private(path, _private_pem(key) + _pem(certificate))
        except ValueError as error:
            raise ConfigurationError(
                f"{path} is damaged ({error}). Delete it: the next start makes a new authority."
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"The certificate authority can't be kept in {folder}: {error.strerror or error}. "
                "Make the folder writable or choose another with --home."
            ) from error
        return cls(folder, key, certificate)

    def context(self, host: str) -> ssl.SSLContext:
        """The TLS context that answers as `host`. Raises ValueError for a name that is not AWS's."""
        name = host.lower().rstrip(".")
        if not is_aws(name) or not _HOST.fullmatch(name):
            raise ValueError(f"'{host}' is no host name of AWS's.")
        with self._lock:
            made, context = self._contexts.get(name, (0.0, None))
            if context is None or time.time() - made > _CONTEXT_AGE:
                context = self._make_context(name)
                self._contexts[name] = (time.time(), context)
                if len(self._contexts) > _CONTEXTS_KEPT:
                    self._contexts.popitem(last=False)
            self._contexts.move_to_end(name)
            return context

    def _make_context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        content = _private_pem(self._leaf_key) + _pem(self._leaf(host))
        # The ssl module reads keys from files only; this one lives for the length of a call.
        handle, path = tempfile.mkstemp(prefix=".leaf.", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            context.load_cert_chain(path)
        finally:
            Path(path).unlink()
        return context

    def _leaf(self, host: str) -> x509.Certificate:
        now = _now()
        public = self._leaf_key.public_key()
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Modelwright")]))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _DAY, self.certificate.not_valid_before_utc))
            .not_valid_after(min(now + _LEAF_LIFE, self.certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )

    def bundle(self, environ: Mapping[str, str]) -> Path:
        """A file with the roots that a client of that environment trusts, plus this authority.

        Its name is its content's hash: clients with different roots do not overwrite each other's.
        Raises ConfigurationError when a bundle that the environment names can't be read, or ours not be written.
        """
        sources = tuple(_sources(environ))
        with self._lock:
            path = self._bundles.get(sources)
            if path is None or not path.exists():
                path = self._bundles[sources] = self._write_bundle(sources)
        return path

    def _write_bundle(self, sources: tuple[_Source, ...]) -> Path:
        certificates = dict.fromkeys(block for source in sources for block in source.certificates())
        certificates[_pem(self.certificate).decode().strip()] = None
        content = ("\n".join(certificates) + "\n").encode()
        path = self.folder / f"bundle-{hashlib.sha256(content).hexdigest()[:12]}.pem"
        if not path.exists():
            try:
                write_private(path, content)
                path.chmod(0o644)
            except OSError as error:
                raise ConfigurationError(f"{path} can't be written: {error.strerror or error}") from error
        return path


@dataclass(frozen=True)
class _Source:
    """A file of roots as it is now, and the variable that names it (empty: nobody's)."""

    path: Path
    variable: str
    changed: int
    size: int

    @classmethod
    def of(cls, path: Path, variable: str = "") -> _Source:
        try:
            found = path.stat()
        except OSError as error:
            raise _unreadable(path, variable, error) from error
        return cls(path, variable, found.st_mtime_ns, found.st_size)

    def certificates(self) -> list[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unreadable(self.path, self.variable, error) from error
        return _CERTIFICATE.findall(text.replace("\r\n", "\n"))


def _sources(environ: Mapping[str, str]) -> Iterator[_Source]:
    """The user's own bundles, the system's roots and botocore's copy of the public ones."""
    for variable in (*BUNDLE_VARIABLES, *OVERRIDING_VARIABLES):
        if named := environ.get(variable):
            path = Path(named)
            files = sorted(path.iterdir()) if path.is_dir() else [path]  # requests takes a folder too
            yield from (_Source.of(file, variable) for file in files if not file.is_dir())
    for known in (ssl.get_default_verify_paths().openssl_cafile, str(Path(botocore.__file__).parent / "cacert.pem")):
        if known and Path(known).is_file():
            yield _Source.of(Path(known))


def _unreadable(path: Path, variable: str, error: OSError) -> ConfigurationError:
    reason = error.strerror or error
    if not variable:
        return ConfigurationError(f"The roots that this machine trusts ({path}) can't be read: {reason}.")
    return ConfigurationError(f"{variable} names {path}, which can't be read: {reason}. Unset it or mend it.")


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = _now()
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Modelwright"),
            # Unlike names keep two homes' authorities apart where one bundle holds both.
            x509.NameAttribute(NameOID.COMMON_NAME, f"Modelwright local authority {identifier.digest.hex()[:8]}"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.NameConstraints(
                permitted_subtrees=[x509.DNSName(domain) for domain in AWS_DOMAINS],
                # Permitting some DNS names says nothing about addresses: exclude them all.
                excluded_subtrees=[
                    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
                    x509.IPAddress(ipaddress.ip_network("::/0")),
                ],
            ),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(**true: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: true.get(name, False) for name in names})


def _parse(content: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = serialization.load_pem_private_key(content, password=None)
    certificate = x509.load_pem_x509_certificate(content)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the key does not belong to the certificate")
    return key, certificate


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
