"""Connections with TLS, which MariaDB 11.4 and newer offer by themselves, on a Unix socket too."""

import datetime
import shutil
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import OperationalError, connections, transaction

from mysql_pool import close_pool, stats
from packages.mysql_pool.tests.behaviour.scene import DRIVER, eventually, in_greenlets, run

pytestmark = pytest.mark.skipif(DRIVER != "pymysql", reason="mysqlclient brings a TLS of its own")


def certificate_in(folder):
    """A certificate that signs itself, and its key; their files."""
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
    folder.mkdir()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *form))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def certificate(tmp_path):
    return certificate_in(tmp_path / "server")


@pytest.fixture
def tls_server(new_server, certificate):
    ssl_cert, ssl_key = certificate
    return new_server(ssl_cert=ssl_cert, ssl_key=ssl_key)


def cipher():
    return run("SHOW STATUS LIKE 'Ssl_cipher'")[0][1]


def signed_by(certificate):
    return {"ca": str(certificate), "check_hostname": False}


def test_a_lost_connection_is_no_error_on_another(use, tls_server):
    """Python 3.13.5 and 3.14 leave the first one's error where the second one finds it."""
    use(tls_server)
    use(tls_server, using="other")
    with transaction.atomic():
        assert cipher()
        lost = run("SELECT CONNECTION_ID()", using="other")[0][0]
        connections["other"].close()
        tls_server.sql(f"KILL {lost}")
        rows = "SELECT id FROM information_schema.processlist"
        eventually(lambda: [str(lost)] not in tls_server.sql(rows))
        close_pool("other")  # says COM_QUIT to nobody: EPIPE
        assert run("SELECT SLEEP(0.01)") == ((0,),)


def test_a_certificate_of_somebody_else_is_refused(use, tls_server, certificate, tmp_path, capfd):
    use(tls_server, ssl=signed_by(certificate_in(tmp_path / "else")[0]))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        run("SELECT 1")
    eventually(lambda: stats()["default"]["open"] == 0)
    use(tls_server, ssl=signed_by(certificate[0]))
    connections["default"].close()
    assert cipher()
    assert capfd.readouterr() == ("", "")


def test_a_certificate_that_is_replaced_on_disk_is_used(use, tls_server, certificate, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(certificate_in(tmp_path / "else")[0], ca)
    use(tls_server, ssl=signed_by(ca))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        run("SELECT 1")
    shutil.copy(certificate[0], ca)
    assert cipher()


@in_greenlets
def test_a_handshake_is_computed_beside_the_hub(use, tls_server, monkeypatch):
    """1.5 ms of it, in which no other greenlet would run."""
    shake_hands, threads = ssl.SSLSocket.do_handshake, []

    def watched(sock):
        threads.append(threading.get_native_id())
        return shake_hands(sock)

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", watched)
    use(tls_server)
    assert cipher()
    assert threads
    assert threading.get_native_id() not in threads


def test_a_server_that_falls_silent_in_the_handshake_is_an_error(use, tls_server, tmp_path):
    path = str(tmp_path / "relay.sock")
    relay = socket.socket(socket.AF_UNIX)
    relay.bind(path)
    relay.listen()
    ended = []

    def hand_on_the_greeting():
        client, _ = relay.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(tls_server.socket))
        client.sendall(server.recv(4096))
        client.settimeout(20)
        while client.recv(4096):
            pass
        ended.append(True)
        client.close()
        server.close()

    thread = threading.Thread(target=hand_on_the_greeting)
    thread.start()
    use(tls_server, POOL_TIMEOUT=3, connect_timeout=1)
    connections.databases["default"]["HOST"] = path
    with pytest.raises(OperationalError, match="timed out"):
        run("SELECT 1")
    thread.join()
    relay.close()
    assert ended  # although the pool keeps the error, and with it every frame, to tell of it
    eventually(lambda: stats()["default"]["open"] == 0)
