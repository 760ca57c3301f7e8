"""By environment alone: what `modelwright run` sets is enough for clients that know nothing of us."""

import datetime
import http.server
import ipaddress
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.server import SAMPLE, serving

ADMIN = "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/admin"


def run(server, *command, **environ):
    """A client's process in the environment that we make for it."""
    environ = server.client_environ(**environ)
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=120)


def python(server, code, **environ):
    done = run(server, sys.executable, "-W", "error", "-c", code, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
WHO_BY_NAME = (
    "import boto3; print(boto3.client('sts', region_name='eu-west-1', "
    "endpoint_url='https://sts.eu-west-1.amazonaws.com').get_caller_identity()['Arn'])"
)


@pytest.mark.parametrize("code", [WHO, WHO_BY_NAME], ids=["endpoint", "full name"])
def test_boto3(sample, code):
    assert python(sample, code) == ADMIN


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_PROFILE": "not-there"},
        {"AWS_SESSION_TOKEN": "old", "AWS_ACCESS_KEY_ID": "old", "AWS_SECRET_ACCESS_KEY": "old"},
        {"AWS_ENDPOINT_URL_STS": "https://192.0.2.1"},
        {"NO_PROXY": "*"},
        {"no_proxy": ".amazonaws.com"},
        {"HTTPS_PROXY": "http://192.0.2.1:3128"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_whatever_the_user_has_set(sample, environ):
    assert python(sample, WHO, **environ) == ADMIN
    assert python(sample, WHO_BY_NAME, **environ) == ADMIN


def test_without_the_endpoint_the_proxy_is_enough(sample):
    hidden = "import os; del os.environ['AWS_ENDPOINT_URL']\n"
    assert python(sample, hidden + WHO) == ADMIN


def test_strict_openssl_accepts_us(sample):
    """Python 3.13 turns VERIFY_X509_STRICT on for everybody."""
    code = """
import ssl, urllib.request, urllib.error
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
try:
    opener.open("https://bucket.s3.ap-northeast-2.amazonaws.com/key")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
    error.close()
"""
    assert python(sample, code).startswith("403 <?xml")


@pytest.mark.parametrize(
    "own", [{}, {"CURL_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}], ids=["plain", "own roots"]
)
def test_curl(sample, own):
    if own and not Path(own["CURL_CA_BUNDLE"]).exists():
        pytest.skip("no such file here")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = run(sample, "curl", "-sS", "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", **own)
    assert "MissingAuthenticationToken" in done.stdout, done.stderr


def certificate(folder):
    """A certificate for 127.0.0.2, which is nobody's but this test's."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a company's own authority")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "own.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(private + pem)
    return folder / "own.pem", folder / "both.pem"


@pytest.fixture
def elsewhere(tmp_path):
    """A TLS server that is not AWS: its address and its authority's file."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"elsewhere")

        def log_message(self, *_):
            pass

    own, both = certificate(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.2:{server.server_address[1]}/", own
    server.shutdown()
    thread.join()
    server.server_close()


GET = "import sys, urllib.request; print(urllib.request.urlopen({!r}).read().decode())"


def test_other_hosts_are_reached_untouched_with_the_users_own_roots(sample, elsewhere):
    address, own = elsewhere
    assert python(sample, GET.format(address), SSL_CERT_FILE=str(own)) == "elsewhere"


def test_our_authority_is_no_authority_for_them(sample, elsewhere):
    address, _ = elsewhere
    done = run(sample, sys.executable, "-c", GET.format(address))
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


def test_a_host_that_can_not_be_reached(sample):
    done = run(sample, sys.executable, "-c", GET.format("https://127.0.0.3:1/"))
    assert "Tunnel connection failed: 502" in done.stderr


def test_the_way_out_may_be_another_proxy(sample, elsewhere, tmp_path):
    """Two servers in a row: the second has the first as its upstream."""
    address, own = elsewhere
    with serving(tmp_path / "second", SAMPLE, {"HTTPS_PROXY": sample.url}) as second:
        assert python(second, GET.format(address), SSL_CERT_FILE=str(own)) == "elsewhere"
        assert python(second, WHO_BY_NAME) == ADMIN
        sample_key = sample.keys.admin.id
        assert second.keys.admin.id != sample_key  # it was the second that answered
