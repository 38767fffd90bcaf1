//! AutoMTLS: each side makes a key and a certificate that signs itself, and knows
//! the other's certificate before they connect.

use std::{error::Error, io, sync::Arc};

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, WebPkiSupportedAlgorithms, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::connection::Io;

/// How this side serves and dials: in plaintext, or with both certificates.
#[derive(Clone)]
pub struct Security(Option<(TlsAcceptor, TlsConnector)>);

impl Security {
    pub fn plaintext() -> Self {
        Security(None)
    }

    pub fn mutual(own: Identity, peer: CertificateDer<'static>) -> Result<Self, rustls::Error> {
        let pinned = Arc::new(Pinned {
            certificate: peer,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        });
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(pinned.clone())
            .with_single_cert(vec![own.certificate.clone()], own.key.clone_key())?;
        let mut client = ClientConfig::builder()
            .dangerous() // says rustls of every verifier that is not its own
            .with_custom_certificate_verifier(pinned)
            .with_client_auth_cert(vec![own.certificate], own.key)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Security(Some((Arc::new(server).into(), Arc::new(client).into()))))
    }

    /// Secures a connection that was accepted.
    pub async fn accept(&self, io: Io) -> io::Result<Io> {
        match &self.0 {
            Some((acceptor, _)) => Ok(Box::new(acceptor.accept(io).await?)),
            None => Ok(io),
        }
    }

    /// Secures a connection that was dialled.
    pub async fn connect(&self, io: Io) -> io::Result<Io> {
        let localhost = ServerName::try_from("localhost").expect("a name");
        match &self.0 {
            Some((_, connector)) => Ok(Box::new(connector.connect(localhost, io).await?)),
            None => Ok(io),
        }
    }
}

/// A key, and a certificate that signs itself.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

#[derive(Clone, Copy)]
pub enum Curve {
    P256,
    P521,
}

impl Curve {
    /// Returns the curve of a certificate, for one's own: the other side's TLS
    /// library has that one for sure.
    pub fn of(certificate: &CertificateDer) -> Self {
        const P521: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x23]; // as certificates name it
        match certificate.windows(P521.len()).any(|name| name == P521) {
            true => Curve::P521,
            false => Curve::P256,
        }
    }
}

impl Identity {
    pub fn new(curve: Curve) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(match curve {
            Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Curve::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
        })?;
        // What go-plugin verifies: localhost, and an authority that is its own.
        let mut params = CertificateParams::new(["localhost".to_string()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.distinguished_name.push(DnType::OrganizationName, "HashiCorp");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key)?;
        Ok(Identity { certificate: certificate.into(), key: key.into() })
    }

    /// Returns the certificate as a plugin's handshake line has it.
    pub fn encoded(&self) -> String {
        BASE64_STANDARD_NO_PAD.encode(&self.certificate)
    }

    /// Returns the certificate as a host's environment has it.
    pub fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.certificate);
        let lines: String = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect();
        format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
    }
}

/// Reads the host's certificate.
pub fn from_pem(text: &str) -> Result<CertificateDer<'static>, Box<dyn Error>> {
    Ok(CertificateDer::from_pem_slice(text.as_bytes())?)
}

/// Reads a plugin's certificate.
pub fn decoded(text: &str) -> Result<CertificateDer<'static>, Box<dyn Error>> {
    Ok(BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('='))?.into())
}

/// Accepts the one certificate that was agreed on, and nobody without its key.
///
/// rustls' own verifiers cannot: they refuse an authority's certificate as that of
/// a peer (CaUsedAsEndEntity), and go-plugin's is both. The comparison takes the
/// place of names, dates and chains. The signatures must be verified all the same:
/// they show that the peer has the key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn verify(&self, certificate: &CertificateDer) -> Result<(), rustls::Error> {
        if *certificate != self.certificate {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn signature(
        &self,
        message: &[u8],
        by: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, by, signed, &self.algorithms)
    }
}

/// TLS 1.2 is not built in.
fn tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::PeerIncompatible::Tls12NotOffered.into())
}

impl ClientCertVerifier for Pinned {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer,
        _: &[CertificateDer],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, by, signed)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // the host has one certificate and needs no hint
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, by, signed)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
