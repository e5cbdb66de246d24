//! The network's door: the router on a TCP address, with TLS where it is configured, a guard in front, and a bound on
//! everything that one client or many of them can take.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::middleware::from_fn_with_state;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::extract::BodyBounds;
use super::guard::{self, Guard};
use super::patient::Patient;
use crate::config::http::{HttpConfig, HttpLimits, KeyPair};
use crate::engine::tasks::Tasks;

/// How long requests may take after the end was announced.
const GRACE: Duration = Duration::from_secs(2);
/// After a failed accept, which only a lack of file descriptors or memory explains.
const BREATH: Duration = Duration::from_millis(50);
/// The head of a request.
const HEAD_BYTES: usize = 32 * 1_024;

/// Why nobody can be served there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on {at}")]
    Bind {
        at: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("read {what} from {path}")]
    Read {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("use the certificate {path} with its key")]
    Pair {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// A bound address.
pub struct Listening {
    listener: TcpListener,
    at: SocketAddr,
    tls: Option<TlsAcceptor>,
    guard: Arc<Guard>,
    limits: HttpLimits,
}

/// Binds the address of the configuration, if it has one, and reads certificate and key.
pub async fn bind(config: &HttpConfig) -> Result<Option<Listening>, ListenError> {
    let Some(at) = config.listen else { return Ok(None) };
    let tls = config.tls.as_ref().map(acceptor).transpose()?;
    let failed = |source| ListenError::Bind { at, source };
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let guard = Arc::new(Guard::new(config));
    Ok(Some(Listening { listener, at, tls, guard, limits: config.limits.clone() }))
}

fn acceptor(pair: &KeyPair) -> Result<TlsAcceptor, ListenError> {
    let read = |what, path: &Path| {
        let path = path.to_owned();
        move |source| ListenError::Read { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(&pair.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(read("a certificate", &pair.cert_file))?;
    let key =
        PrivateKeyDer::from_pem_file(&pair.key_file).map_err(read("a key", &pair.key_file))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| ListenError::Pair { path: pair.cert_file.clone(), source })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Listening {
    /// Where it is, as people open it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.at)
    }

    /// Whether tokens travel where others may read them.
    pub fn is_plain_to_others(&self) -> bool {
        self.tls.is_none() && !self.at.ip().is_loopback()
    }

    /// The bounds of a body.
    pub fn bounds(&self) -> BodyBounds {
        BodyBounds::of(&self.limits)
    }

    /// Serves until `stop`, then gives requests that are under way a moment to finish.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let Self { listener, tls, guard, limits, .. } = self;
        let router = router.layer(from_fn_with_state(guard, guard::check));
        let most = usize::try_from(limits.connections).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let mut clients = Tasks::default();
        let door = Arc::new(Entrance { router, tls, limits, stop: stop.clone() });
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            clients.reap();
            match accepted {
                Ok((stream, from)) => {
                    let (door, place) =
                        (Arc::clone(&door), Arc::clone(&places).try_acquire_owned());
                    clients.spawn_to_end("client", async move {
                        match place {
                            Ok(place) => door.serve(stream, from, place).await,
                            Err(_) => door.turn_away(stream).await,
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(BREATH).await;
                }
            }
        }
        drop(listener);
        clients.stop().await;
    }
}

/// What every connection is served with.
struct Entrance {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    stop: CancellationToken,
}

impl Entrance {
    async fn serve(&self, stream: TcpStream, from: SocketAddr, place: OwnedSemaphorePermit) {
        // Small lines of a stream are not held back.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self
                .converse(Patient::new(stream, self.limits.write_time, Some(place)), from)
                .await;
        };
        let greeting = timeout(self.limits.request_time, tls.accept(stream));
        match greeting.await {
            Ok(Ok(stream)) => {
                let stream = Patient::new(stream, self.limits.write_time, Some(place));
                self.converse(stream, from).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS with a client"),
            Err(_) => tracing::debug!(%from, "a client did not begin with TLS in time"),
        }
    }

    async fn converse<IO>(&self, stream: Patient<IO>, from: SocketAddr)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        // Another layer would copy every route for every connection.
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.request_time)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%from, %error, "a connection ended");
        }
    }

    /// There is no place left: says so where a client would understand it.
    async fn turn_away(&self, mut stream: TcpStream) {
        const FULL: &str = "{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"as many clients as \
                            `http.connections` allows are here already; try again later\"}";
        if self.tls.is_some() {
            return;
        }
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{FULL}",
            FULL.len()
        );
        let told = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // Who is cut off while sending does not hear why.
            let mut unread = [0; 4_096];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // Whether the client hears it is its own affair.
        let _ = timeout(BREATH, told).await;
    }
}
