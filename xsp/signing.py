"""The office's signature: Ed25519 keys, raw, and what they sign."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def new_signing_key() -> bytes:
    """A new private key, 32 octets."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(signing_key: bytes) -> bytes:
    """What the sites need to believe us, 32 octets."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw()


def sign(signing_key: bytes, octets: bytes) -> bytes:
    """The signature of `octets`."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).sign(octets)
