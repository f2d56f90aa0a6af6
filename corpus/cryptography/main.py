"""Fernet, a certificate of its own authority, and TLS with it."""
import datetime
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.x509.oid import NameOID


def secrets():
    fernet = Fernet(Fernet.generate_key())
    print("fernet:", fernet.decrypt(fernet.encrypt(b"a secret")).decode())
    try:
        Fernet(Fernet.generate_key()).decrypt(fernet.encrypt(b"a secret"))
    except InvalidToken:
        print("fernet: another key is refused")
    print("scrypt:", Scrypt(salt=b"salt", length=16, n=1024, r=8, p=1).derive(b"password").hex())
    print("aes-gcm:", AESGCM(b"k" * 16).encrypt(b"n" * 12, b"text", b"more").hex())
    key = ed25519.Ed25519PrivateKey.generate()
    try:
        key.public_key().verify(key.sign(b"this"), b"that")
    except InvalidSignature:
        print("ed25519: a signature of something else is refused")


def certificate(name, issuer=None):
    """A key and a certificate for name, by issuer or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, signer = (issuer[1].subject, issuer[0]) if issuer else (subject, key)
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(by).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(
            digital_signature=True, key_cert_sign=issuer is None, crl_sign=issuer is None, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        ), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return key, made


def tls():
    authority = certificate("authority")
    key, cert = certificate("localhost", authority)
    cert.verify_directly_issued_by(authority[1])
    print("x509:", cert.subject.rfc4514_string(), "by", cert.issuer.rfc4514_string())
    pem = serialization.Encoding.PEM
    with tempfile.TemporaryDirectory() as directory:
        chain = Path(directory, "chain.pem")
        chain.write_bytes(cert.public_bytes(pem) + key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server_context.load_cert_chain(chain)
    client_context = ssl.create_default_context(cadata=authority[1].public_bytes(pem).decode())
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(up, down, server_side=True)
    client = client_context.wrap_bio(down, up, server_hostname="localhost")
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    server.write(b"over TLS")
    print("tls:", client.version(), client.read().decode())


if __name__ == "__main__":
    secrets()
    tls()
