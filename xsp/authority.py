"""The xSP's certificate authority as values: keys, certificates and the revocation list, in PEM.

Theory of operation. Home agents believe each other by certificates of this authority alone. A site is named by the URI
`xsp:site:NAME` in the subject alternative name: no dNSName, because names of sites differ in case, hold `_`, and must
never be taken for a host's. Each certificate serves both ends of a connection. Ed25519, because OpenSSL 3 verifies it
in TLS 1.3 and its signatures are deterministic: the same registry renders the same octets.

The revocation list is good as long as the authority: a list that ran out would part all sites from each other, which is
worse than an old one. Everything begins a day early, for a site whose clock is late. Opens no file, reads no clock.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
BACKDATED = datetime.timedelta(days=1)
_CRITICAL = True


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM. `serial` in hexadecimal."""

    serial: str
    certificate: str
    key: bytes
    not_after: datetime.datetime


def new_authority(local_as: int, now: datetime.datetime) -> Issued:
    """The authority of the xSP with this AS number."""
    key = Ed25519PrivateKey.generate()
    name = _name(f"AS{local_as} site authority")
    builder = _builder(name, name, key, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), _CRITICAL)
    builder = builder.add_extension(_key_usage(authority=True), _CRITICAL)
    return _signed(builder, key, key)


def new_site(site: str, authority: str, authority_key: bytes, days: int, now: datetime.datetime) -> Issued:
    """A site's certificate. Raises: ValueError if it would outlive the authority."""
    issuer, signing = x509.load_pem_x509_certificate(authority.encode()), _private(authority_key)
    if now + datetime.timedelta(days=days) > issuer.not_valid_after_utc:
        raise ValueError(f"the authority itself ends on {issuer.not_valid_after_utc:%Y-%m-%d}")
    key = Ed25519PrivateKey.generate()
    builder = _builder(_name(site), issuer.subject, key, now, days)
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"xsp:site:{site}")])
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), _CRITICAL)
    builder = builder.add_extension(_key_usage(authority=False), _CRITICAL)
    for extension in (both, names, by):
        builder = builder.add_extension(extension, not _CRITICAL)
    return _signed(builder, key, signing)


def revocation_list(authority: str, authority_key: bytes, revoked: Mapping[str, datetime.datetime]) -> str:
    """The signed list (RFC 5280 5) of these serials and when each was revoked, PEM."""
    issuer, signing = x509.load_pem_x509_certificate(authority.encode()), _private(authority_key)
    latest = max(revoked.values(), default=issuer.not_valid_before_utc + BACKDATED)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(latest - BACKDATED).next_update(issuer.not_valid_after_utc)
    builder = builder.add_extension(x509.CRLNumber(len(revoked)), not _CRITICAL)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    builder = builder.add_extension(by, not _CRITICAL)
    for serial, at in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signing, None).public_bytes(serialization.Encoding.PEM).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), not _CRITICAL)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: Ed25519PrivateKey, signing: Ed25519PrivateKey) -> Issued:
    made = builder.sign(signing, None)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    return Issued(f"{made.serial_number:x}", text, private, made.not_valid_after_utc)


def _private(pem: bytes) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, Ed25519PrivateKey)  # made here and kept in the vault
    return key
