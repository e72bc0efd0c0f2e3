"""An authority that signs certificates as long as it lives; imported only where some are made."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hbsim.errors import ParameterError

__all__ = ["Authority"]

_NO_USE: Final = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


class Authority:
    """Has a key that nothing but this object holds.

    Parameters
    ----------
    begin, end : datetime
        When what it signs is valid, in UTC.

    Attributes
    ----------
    pem : str
        Its own certificate.
    """

    def __init__(self, begin: datetime.datetime, end: datetime.datetime) -> None:
        self._begin, self._end = begin, end
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"hbsim authority {secrets.token_hex(4)}")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(**{**_NO_USE, "key_cert_sign": True, "crl_sign": True})
        self.pem = _pem(self._sign(self._name, self._key.public_key(), constraints, usage, []))

    def certificate(self, hosts: Iterable[str]) -> tuple[str, str]:
        """Make a certificate for servers and clients.

        Parameters
        ----------
        hosts : iterable of str
            Names and addresses that it is for.

        Returns
        -------
        certificate, key : str
            PEM.

        Raises
        ------
        ParameterError
            A host is neither a name nor an address.
        """
        names = list(dict.fromkeys(map(_general_name, hosts)))
        key = ec.generate_private_key(ec.SECP256R1())
        more: list[x509.ExtensionType] = [
            x509.SubjectAlternativeName(names),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        ]
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        usage = x509.KeyUsage(**{**_NO_USE, "digital_signature": True})
        made = self._sign(_named("hbsim cluster"), key.public_key(), constraints, usage, more)
        return _pem(made), _pem_key(key)

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        constraints: x509.BasicConstraints,
        usage: x509.KeyUsage,
        more: Iterable[x509.ExtensionType],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder(self._name, name, key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, SHA256())


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    with suppress(UnicodeError):
        name = host.encode("idna").decode("ascii")  # certificates hold no other letters
        if name.strip("-") == name != "" and all(char.isalnum() or char in "-._*" for char in name):
            return x509.DNSName(name)
    raise ParameterError("hosts", host, "must be a name or an address")


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, plain).decode("ascii")
