"""Connections with TLS, which MariaDB 11.4 and newer offer by themselves, on a Unix socket too."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connections, transaction
from scene import DRIVER, eventually, run

from mysql_pool import close_pool

pytestmark = pytest.mark.skipif(DRIVER != "pymysql", reason="mysqlclient brings a TLS of its own")


@pytest.fixture
def tls_server(new_server, tmp_path):
    """A server with a certificate, which nobody checks."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, *form))
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return new_server(ssl_key=tmp_path / "key.pem", ssl_cert=tmp_path / "certificate.pem")


def test_a_lost_connection_is_no_error_on_another(use, tls_server):
    """Python 3.13.5 and 3.14 leave the first one's error where the second one finds it."""
    use(tls_server)
    use(tls_server, using="other")
    with transaction.atomic():
        assert run("SHOW STATUS LIKE 'Ssl_cipher'")[0][1]
        lost = run("SELECT CONNECTION_ID()", using="other")[0][0]
        connections["other"].close()
        tls_server.sql(f"KILL {lost}")
        rows = "SELECT id FROM information_schema.processlist"
        eventually(lambda: [str(lost)] not in tls_server.sql(rows))
        close_pool("other")  # says COM_QUIT to nobody: EPIPE
        assert run("SELECT SLEEP(0.01)") == ((0,),)
