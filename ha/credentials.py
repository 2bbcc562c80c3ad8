"""By what a site proves its name to its peers and believes theirs: certificate, key, authority, revocation list.

Owns the TLS contexts (version 1.3, both ends prove themselves, the peer's certificate is looked up in the revocation
list) and the reading of a peer's name. The name is the URI `xsp:site:NAME` in the certificate, so hostnames are not
compared. There are no session tickets: a resumed session would not be checked against the list again. A certificate
that is over, or revoked, is loaded all the same: the site serves its customers without peers, and an alarm says so.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature

ALARM_DAYS = 30
DAY_S = 86400
_IDENTITY = "xsp:site:"
Parsed = TypeVar("Parsed")
# X509_V_ERR_*, openssl/x509_vfy.h
_REASONS = {9: "not_yet_valid", 10: "expired", 23: "revoked"}


class CredentialsRefused(Exception):
    """Files that do not fit together. Field: `why`, one sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Credentials:
    """What connections are opened and accepted with. `not_after` in Unix seconds; `revoked` serial numbers."""

    dialing: ssl.SSLContext
    accepting: ssl.SSLContext
    serial: int
    not_after: float
    revoked: frozenset[int]

    def days_left(self, now: float) -> int:
        """Whole days until our certificate is over at Unix time `now`; negative if it is."""
        return int((self.not_after - now) // DAY_S)

    def alarm(self, now: float) -> tuple[str, str] | None:
        """Log level and sentence if somebody must issue a new certificate; None if all is well."""
        left = self.days_left(now)
        if self.serial in self.revoked:
            return "error", "this site's certificate is revoked: no peer lets it in"
        if left < 0:
            return "error", "this site's certificate is over: no peer lets it in again"
        return ("warning", f"this site's certificate is over in {left} days") if left < ALARM_DAYS else None


def load(authority: Path, certificate: Path, key: Path, revoked: Path, site: str) -> Credentials:
    """Read the four files of a site. Raises: CredentialsRefused naming what is wrong."""
    own, listed = _proved(authority, certificate, revoked, site)
    try:
        dialing, accepting = (
            _context(protocol, authority, certificate, key, revoked)
            for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
        )
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise CredentialsRefused(f"{certificate} and {key} cannot be used together ({why})") from error
    serials = frozenset(one.serial_number for one in listed)
    return Credentials(dialing, accepting, own.serial_number, own.not_valid_after_utc.timestamp(), serials)


def site_of(peer: Mapping[str, Any] | None) -> str | None:
    """The site that a verified peer's certificate (`SSLSocket.getpeercert`) names; None unless it is exactly one."""
    names = [value for kind, value in (peer or {}).get("subjectAltName", ()) if kind == "URI"]
    if len(names) != 1 or not names[0].startswith(_IDENTITY):
        return None
    return str(names[0].removeprefix(_IDENTITY))


def serial_of(peer: Mapping[str, Any] | None) -> int:
    """The serial number of a verified peer's certificate."""
    return int((peer or {}).get("serialNumber", "0"), 16)


def why_refused(error: ssl.SSLError) -> str:
    """One word for a failed handshake, to be counted by."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REASONS.get(error.verify_code, "not_of_our_authority")
    reason = error.reason or ""
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "no_certificate"
    return "refuses_us" if "_ALERT_" in reason else "no_tls"


def _context(protocol: int, authority: Path, certificate: Path, key: Path, revoked: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    context.load_verify_locations(cafile=authority)
    context.load_verify_locations(cafile=revoked)
    context.load_cert_chain(certificate, key)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _proved(
    authority: Path, certificate: Path, revoked: Path, site: str
) -> tuple[x509.Certificate, x509.CertificateRevocationList]:
    root = _read(authority, x509.load_pem_x509_certificate, "certificate")
    own = _read(certificate, x509.load_pem_x509_certificate, "certificate")
    listed = _read(revoked, x509.load_pem_x509_crl, "revocation list")
    try:
        own.verify_directly_issued_by(root)
    except (InvalidSignature, TypeError, ValueError) as error:
        raise CredentialsRefused(f"{certificate} is not of the authority {authority}") from error
    if not _is_listed_by(root, listed):
        raise CredentialsRefused(f"{revoked} is not of the authority {authority}")
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        named = []
    if named != [_IDENTITY + site]:
        raise CredentialsRefused(f"{certificate} is not the certificate of {site}")
    return own, listed


def _read(path: Path, parse: Callable[[bytes], Parsed], what: str) -> Parsed:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise CredentialsRefused(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CredentialsRefused(f"{path} is no {what} in PEM") from error


def _is_listed_by(root: x509.Certificate, listed: x509.CertificateRevocationList) -> bool:
    try:
        return listed.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except TypeError:  # a key that can sign no list
        return False
