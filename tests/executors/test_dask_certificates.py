"""Certificates: who is let in by them, who is not, and who can read the files."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.dask.certificates import FILES, Certificates, make_certificates, security_of, temporary


def _context(folder: Path, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(folder / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what newer versions of Python ask for
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def _shake_hands(server: Path, client: Path, name: str) -> None:
    """Let a client greet a server, in memory; raise what the first of them objects to."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = _context(server, ssl.Purpose.CLIENT_AUTH).wrap_bio(there, back, server_side=True)
    ours = _context(client, ssl.Purpose.SERVER_AUTH).wrap_bio(back, there, server_hostname=name)
    done = set()
    for _ in range(10):
        for end in (ours, theirs):
            if end not in done:
                try:
                    end.do_handshake()
                    done.add(end)
                except ssl.SSLWantReadError:
                    pass
    assert done == {ours, theirs}
    ours.write(b"from the client")
    assert theirs.read() == b"from the client"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of certificates that do not know each other."""
    one, other = (tmp_path_factory.mktemp("certificates") / name for name in ("one", "other"))
    for folder in (one, other):
        make_certificates(folder, ["gpu1.example", "10.0.0.7", "fe80::7", "müller.example"])
    return one, other


@pytest.mark.parametrize("name", ["gpu1.example", "10.0.0.7", "fe80::7", "localhost", "127.0.0.1", "::1"])
def test_both_ends_of_one_authority_agree_on_every_name(folders, name):
    _shake_hands(folders[0], folders[0], name)


def test_a_name_that_it_is_not_for(folders):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _shake_hands(folders[0], folders[0], "elsewhere.example")


def test_an_end_of_another_authority_is_refused(folders, tmp_path):
    one, other = folders
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(other, one, "localhost")  # the client objects
    lax = tmp_path / "lax"
    lax.mkdir()  # a client that trusts the server, but shows what another authority has signed
    for name, source in zip(FILES, (one, other, other), strict=True):
        (lax / name).write_bytes((source / name).read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(one, lax, "localhost")


def test_what_is_signed_cannot_sign(folders):
    certificate = x509.load_pem_x509_certificate((folders[0] / "cert.pem").read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_names_in_other_letters(folders):
    certificate = x509.load_pem_x509_certificate((folders[0] / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "xn--mller-kva.example" in names.get_values_for_type(x509.DNSName)


def test_only_their_owner_can_read_them(tmp_path):
    before = os.umask(0)
    try:
        make_certificates(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    folder = tmp_path / "a" / "b"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        FILES, 0o600
    )


def test_the_authoritys_key_is_nowhere(tmp_path):
    made = make_certificates(tmp_path)
    assert "".join(path.read_text() for path in sorted(tmp_path.iterdir())).count("PRIVATE KEY-----") == 2
    assert made.files() == {name: (tmp_path / name).read_text() for name in FILES}


def test_they_end_when_they_say(tmp_path):
    made = make_certificates(tmp_path, days=30)
    for name in ("ca.pem", "cert.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert certificate.not_valid_after_utc == made.until
        begin = certificate.not_valid_before_utc
        assert made.until - begin == datetime.timedelta(days=31)  # clocks differ by a day at most


def test_files_are_replaced_only_when_that_is_asked_for(tmp_path):
    (tmp_path / "cert.pem").write_text("mine")
    with pytest.raises(ParameterError, match=r"holds cert.pem already") as caught:
        make_certificates(tmp_path)
    assert caught.value.field == "folder"
    assert os.listdir(tmp_path) == ["cert.pem"]
    make_certificates(tmp_path, force=True)
    assert sorted(os.listdir(tmp_path)) == sorted(FILES)
    assert "CERTIFICATE" in (tmp_path / "cert.pem").read_text()


@pytest.mark.parametrize("host", ["", "a b", "-x", "a/b", "a..b", "x" * 80])
def test_what_is_no_host(host, tmp_path):
    with pytest.raises(ParameterError, match="must be a name or an address"):
        make_certificates(tmp_path / "new", [host])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("days", [0, -1, 1.5, 3651, "x", True])
def test_what_is_no_number_of_days(days):
    with pytest.raises(ParameterError) as caught:
        temporary(days=days)
    assert caught.value.field == "days"


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="is a file"):
        make_certificates(tmp_path / "file")
    with pytest.raises(OutputError):
        make_certificates(tmp_path / "file" / "below")


def test_dasks_security_has_them_in_all_roles():
    made = temporary()
    security = security_of(made)
    assert security.require_encryption
    for role in ("client", "scheduler", "worker"):
        config = security.get_tls_config_for_role(role)
        assert (config["ca_file"], config["cert"], config["key"]) == (
            made.authority,
            made.certificate,
            made.key,
        )
        assert security.get_connection_args(role)["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert isinstance(made, Certificates)
