"""A certificate authority for tests: what DigiCert is to PayPal, and what a forger would make."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from zlib import crc32

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.clock import SystemClock

SANDBOX = "messageverificationcerts.sandbox.paypal.com"
LIVE = "messageverificationcerts.paypal.com"
CERTIFICATE = "https://api.sandbox.paypal.com/v1/notifications/certs/"
CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Signer:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def headers(
        self, body: bytes, webhook_id: str, *, certificate: str, **given: str
    ) -> dict[str, str]:
        """The headers of a delivery signed by this key, as PayPal sends them."""
        transmission = given.get("transmission_id", "69cd13f0-d67a-11e5-baa3-778b53f4ae55")
        moment = given.get("transmission_time", "2026-11-20T20:01:35Z")
        said = f"{transmission}|{moment}|{webhook_id}|{crc32(body)}".encode()
        signature = self.key.sign(said, padding.PKCS1v15(), SHA256())
        return {
            "paypal-transmission-id": transmission,
            "paypal-transmission-time": moment,
            "paypal-transmission-sig": b64encode(signature).decode(),
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-auth-version": "v2",
            "paypal-cert-url": CERTIFICATE + certificate,
        }


@cache
def _key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Keys are made once each: that is what takes the time."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@dataclass(frozen=True)
class Wanted:
    """What a certificate is to say."""

    name: str
    is_ca: bool = False
    days: tuple[int, int] = (-10, 300)
    san: str | None = None
    bits: int = 2048
    extras: dict[str, Any] = field(default_factory=dict)


def issue(wanted: Wanted, issuer: Signer | None = None, key: int = 0) -> Signer:
    """A certificate, by itself or by an issuer."""
    own = _key(key, wanted.bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.name)])
    now = SystemClock().now()
    signing = issuer.key if issuer is not None else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=wanted.days[0]))
        .not_valid_after(now + timedelta(days=wanted.days[1]))
        .add_extension(x509.BasicConstraints(ca=wanted.is_ca, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if wanted.is_ca:
        own_id = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        builder = builder.add_extension(CA_USAGE, critical=True)
        builder = builder.add_extension(own_id, critical=False)
    else:
        names = x509.SubjectAlternativeName([x509.DNSName(wanted.san or wanted.name)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(usage, critical=False)
    return Signer(builder.sign(signing, SHA256()), own)


@dataclass(frozen=True)
class Authority:
    """A root, what stands between, and PayPal's own certificate of the sandbox."""

    root: Signer
    intermediate: Signer
    leaf: Signer

    @classmethod
    def make(cls) -> "Authority":
        root = issue(Wanted("Test Root CA", is_ca=True), key=1)
        intermediate = issue(Wanted("Test Extended Validation CA", is_ca=True), root, key=2)
        return cls(root, intermediate, issue(Wanted(SANDBOX), intermediate, key=3))

    @property
    def bundle(self) -> str:
        return (self.root.pem + self.intermediate.pem).decode()

    def revoking(self, *signers: Signer) -> str:
        """A revocation list of the intermediate's."""
        now = SystemClock().now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.intermediate.certificate.subject)
            .last_update(now - timedelta(days=1))
            .next_update(now + timedelta(days=7))
        )
        for one in signers:
            named = (
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(now - timedelta(hours=1))
                .build()
            )
            builder = builder.add_revoked_certificate(named)
        return builder.sign(self.intermediate.key, SHA256()).public_bytes(Encoding.PEM).decode()
