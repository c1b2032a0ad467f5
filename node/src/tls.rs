//! TLS 1.3 both ways between processes that know each other's keys. A certificate is only a wrapping for an ed25519
//! key: names, dates and issuers in it mean nothing; the key must be one of those that the topology names.

use std::{collections::BTreeSet, sync::Arc};

use fresnel_crypto::SigningKey;
use fresnel_types::PublicKey;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};

/// What a process shows and how it speaks.
#[derive(Debug)]
pub(crate) struct Credentials {
    provider: Arc<CryptoProvider>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Credentials {
    /// The credentials of a network key.
    pub(crate) fn new(key: &SigningKey) -> Result<Self, rcgen::Error> {
        let pkcs8 = PrivatePkcs8KeyDer::from([PKCS8_PREFIX, &key.to_bytes()].concat());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?;
        let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?.der().clone();
        let provider = CryptoProvider {
            cipher_suites: vec![
                ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
                ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        Ok(Self { provider: Arc::new(provider), certificate, key: pkcs8 })
    }

    /// How to dial the holder of `peer`.
    pub(crate) fn dial(&self, peer: PublicKey) -> Result<Arc<ClientConfig>, Error> {
        let pinned = self.pinned([peer].into());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())?;
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// How to accept the holders of `peers`.
    pub(crate) fn accept(&self, peers: BTreeSet<PublicKey>) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.pinned(peers))
            .with_single_cert(vec![self.certificate.clone()], self.private_key())?;
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn pinned(&self, keys: BTreeSet<PublicKey>) -> Arc<Pinned> {
        Arc::new(Pinned { keys, algorithms: self.provider.signature_verification_algorithms })
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

/// The name that every certificate carries and nobody looks at.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a valid DNS name")
}

/// The ed25519 key in a certificate.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    let spki = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    spki.strip_prefix(SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .map(PublicKey)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Accepts certificates of known keys, on either side of a connection. That the other side holds the key is proved by
/// its signature over the handshake.
#[derive(Debug)]
struct Pinned {
    keys: BTreeSet<PublicKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn known(&self, certificate: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        if chain.is_empty() && self.keys.contains(&key_of(certificate)?) {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

/// TLS 1.2 is never offered, so nobody can ask this.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.known(certificate, chain).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.known(certificate, chain).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// DER of everything before the 32 secret bytes of an ed25519 key in PKCS #8 (RFC 8410).
const PKCS8_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// DER of everything before the 32 bytes of an ed25519 public key (RFC 8410).
const SPKI_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

const NAME: &str = "fresnel";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_shows_its_key() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let credentials = Credentials::new(&key).expect("any seed is a key");
        assert_eq!(key_of(&credentials.certificate).expect("an ed25519 key"), PublicKey::of(&key));
        assert!(key_of(&CertificateDer::from(vec![0; 200])).is_err());
    }

    #[test]
    fn only_known_keys_without_a_chain_are_accepted() {
        let [known, stranger] = [5, 6].map(|seed| {
            Credentials::new(&SigningKey::from_bytes(&[seed; 32])).expect("any seed is a key").certificate
        });
        let pinned = Credentials::new(&SigningKey::from_bytes(&[1; 32]))
            .expect("any seed is a key")
            .pinned([PublicKey::of(&SigningKey::from_bytes(&[5; 32]))].into());
        assert!(pinned.known(&known, &[]).is_ok());
        assert!(pinned.known(&stranger, &[]).is_err());
        assert!(pinned.known(&known, std::slice::from_ref(&stranger)).is_err());
    }
}
