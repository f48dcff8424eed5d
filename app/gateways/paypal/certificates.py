"""Whether a certificate that PayPal signs webhooks with is PayPal's: its name, its time, its chain.

PayPal serves the leaf alone. The certificates that lead from a root to it come from the account's
trust bundle, or the chain cannot be built; the roots are the bundle's, or Mozilla's (certifi). What
the bundle's revocation lists name is refused.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Final

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from app.gateways.base import AccountMode, ConfigurationError

NAMES: Final = {
    AccountMode.LIVE: "messageverificationcerts.paypal.com",
    AccountMode.TEST: "messageverificationcerts.sandbox.paypal.com",
}
"""The name in the certificates of either mode, in every one seen from 2015 to 2025."""
KEY_BITS_MIN: Final = 2048
BLOCK: Final = re.compile(
    rb"-----BEGIN (CERTIFICATE|X509 CRL)-----\s.*?-----END \1-----", re.DOTALL
)


@dataclass(frozen=True)
class TrustBundle:
    """What is trusted, what leads from there to PayPal's certificates, and what is revoked."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    revoked: tuple[x509.CertificateRevocationList, ...] = ()

    @classmethod
    def read(cls, pem: bytes) -> "TrustBundle":
        """A bundle of PEM blocks: certificates that sign themselves are roots, others lead to them;
        without any root of its own it begins at Mozilla's. Raises ConfigurationError.
        """
        certificates: list[x509.Certificate] = []
        revoked: list[x509.CertificateRevocationList] = []
        try:
            for found in BLOCK.finditer(pem):
                if found[1] == b"CERTIFICATE":
                    certificates.append(x509.load_pem_x509_certificate(found[0]))
                else:
                    revoked.append(x509.load_pem_x509_crl(found[0]))
        except ValueError:
            raise ConfigurationError("The trust bundle holds an unreadable PEM block.") from None
        if not certificates:
            raise ConfigurationError("The trust bundle holds no certificate.")
        roots = tuple(one for one in certificates if one.issuer == one.subject)
        between = tuple(one for one in certificates if one.issuer != one.subject)
        return cls(roots or mozilla().roots, between, tuple(revoked))

    @cached_property
    def store(self) -> Store:
        """The roots, where every chain ends."""
        return Store(list(self.roots))

    def revokes(self, leaf: x509.Certificate, chain: Iterable[x509.Certificate]) -> bool:
        """Whether a list of the bundle names one of these, by a list of its own issuer's."""
        issuers = {one.subject: one for one in (*self.roots, *self.intermediates)}
        for one in (leaf, *chain):
            issuer = issuers.get(one.issuer)
            for crl in self.revoked:
                if issuer is None or crl.issuer != one.issuer:
                    continue
                named = crl.get_revoked_certificate_by_serial_number(one.serial_number)
                if named is not None and _is_signed(crl, issuer):
                    return True
        return False


def _is_signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    kinds = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)
    return isinstance(key, kinds) and crl.is_signature_valid(key)


@cache
def mozilla() -> TrustBundle:
    """Mozilla's roots, as the installed certifi has them, and nothing that leads to PayPal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the oldest have serial numbers of zero
        return TrustBundle(tuple(x509.load_pem_x509_certificates(certifi.contents().encode())))


class NotPayPals(Exception):
    """A certificate that no other answer can save: the text says why, in a short word."""


def leaf_of(pem: bytes, mode: AccountMode, at: datetime) -> x509.Certificate:
    """The certificate that signs, if it bears PayPal's name in this mode and counts `at` that time.

    Raises NotPayPals. Whether anybody may be believed about it is `is_trusted`'s question.
    """
    try:
        leaf, *_ = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise NotPayPals("unreadable_certificate") from None
    if NAMES[mode] not in _names(leaf):
        raise NotPayPals("certificate_of_another_name")
    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        raise NotPayPals("certificate_out_of_time")
    if leaf.issuer == leaf.subject:
        raise NotPayPals("self_signed_certificate")
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS_MIN:
        raise NotPayPals("certificate_with_weak_key")
    return leaf


def _names(leaf: x509.Certificate) -> Sequence[str]:
    try:
        named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(one.value) for one in common]
    except ValueError:
        return []
    return named.value.get_values_for_type(x509.DNSName)


def is_trusted(
    leaf: x509.Certificate, bundle: TrustBundle, mode: AccountMode, at: datetime
) -> bool:
    """Whether a chain can be built from a trusted root. Raises NotPayPals for what is revoked."""
    try:
        verifier = (
            PolicyBuilder()
            .store(bundle.store)
            .time(at)
            .build_server_verifier(x509.DNSName(NAMES[mode]))
        )
        chain = verifier.verify(leaf, list(bundle.intermediates))
    except (VerificationError, UnsupportedAlgorithm, ValueError):
        return False
    if bundle.revokes(leaf, chain[1:-1]):
        raise NotPayPals("revoked_certificate")
    return True


def signed(leaf: x509.Certificate, signature: bytes, message: bytes) -> bool:
    """Whether the key of this certificate signed the message: SHA256withRSA, PKCS #1 v1.5."""
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        key.verify(signature, message, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
