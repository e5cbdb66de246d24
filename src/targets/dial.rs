//! The first half of every connection: name, TCP, TLS. Refuses a socket that was connected to itself, which
//! happens when a dead local port lies in the ephemeral range and would then keep the server from its port.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::TlsConfig;
use crate::domain::sample::Answer;

/// A byte stream to a server, encrypted or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// The code of answers that come from a failed TLS handshake or an unusable CA file.
pub(super) const TLS: &str = "TLS";
/// The code of answers that come from a name that does not resolve.
pub(super) const NAME: &str = "DNS";

/// Connects to the first address of the name that lets us, without delay for small packets.
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, Answer> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| failed(NAME, format!("look up {host}: {error}")))?;
    let mut last = failed(NAME, format!("{host} has no address"));
    for address in addresses {
        match TcpStream::connect(address).await.and_then(checked) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io_answer(&error),
        }
    }
    Err(last)
}

fn checked(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        stream.set_zero_linger()?;
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens there (the socket met itself)",
        ));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Performs the TLS handshake of a protocol that begins with it.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    mut connector: MakeRustlsConnect,
) -> Result<Box<dyn Wire>, Answer> {
    let Ok(handshake) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, host);
    let stream = handshake.connect(stream).await.map_err(|error| io_answer(&error))?;
    Ok(Box::new(stream))
}

/// What a client feels when its socket fails.
pub(super) fn io_answer(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => failed(TLS, error.to_string()),
        _ => Answer::Gone { text: error.to_string() },
    }
}

pub(super) fn failed(code: &str, text: impl Into<String>) -> Answer {
    Answer::Error { code: code.into(), text: text.into() }
}

/// The trusted certificates of one link, read once and again after a failure.
#[derive(Default)]
pub(super) struct Trust(Mutex<Option<MakeRustlsConnect>>);

impl Trust {
    /// The connector of a link that wants TLS.
    pub(super) fn connector(&self, tls: &TlsConfig) -> Result<MakeRustlsConnect, Answer> {
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(connector) = &*kept {
            return Ok(connector.clone());
        }
        let config = client_config(tls.ca_file.as_deref()).map_err(|text| failed(TLS, text))?;
        Ok(kept.insert(MakeRustlsConnect::new(config)).clone())
    }

    /// The next connection reads the CA file again: it may have been replaced.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a root certificate of the system was skipped");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)
            .map_err(|reason| format!("read CA file {}: {reason}", path.display()))?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add_file(roots: &mut rustls::RootCertStore, path: &Path) -> Result<(), String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found = true;
    }
    found.then_some(()).ok_or_else(|| "it holds no certificate".to_owned())
}
