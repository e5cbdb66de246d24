//! The control socket: the router on a unix socket that only its owner may open.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// The longest path that every system accepts for a unix socket.
const LONGEST: usize = 100;

/// How long a request may take after the end was announced.
const GRACE: Duration = Duration::from_secs(2);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "the control socket's path is longer than {LONGEST} bytes: {path}; choose a shorter --state-dir"
    )]
    TooLong { path: PathBuf },
    #[error("an engine is running already (it answers on {path}); stop it first")]
    Answered { path: PathBuf },
    #[error("{verb} the control socket {path}")]
    Failed {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Where the control socket of a state directory is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// A bound control socket; its file is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    /// Another engine may have put its own file there meanwhile; that one stays.
    fn drop(&mut self) {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds the control socket with mode 0600. A file nobody answers on is replaced.
pub async fn bind(state_dir: &Path) -> Result<Socket, SocketError> {
    let path = path(state_dir);
    let failed = |verb| {
        let path = path.clone();
        move |source| SocketError::Failed { verb, path, source }
    };
    if path.as_os_str().len() > LONGEST {
        return Err(SocketError::TooLong { path });
    }
    match UnixStream::connect(&path).await {
        Ok(_) => return Err(SocketError::Answered { path }),
        Err(error) if is_nobody(&error) => {}
        Err(error) => return Err(failed("look at")(error)),
    }
    // Made under another name and moved into place: at no time is it there with wider rights.
    let fresh = state_dir.join(format!(".c{}", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(failed("bind"))?;
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o600))
        .map_err(failed("protect"))?;
    let inode = std::fs::metadata(&fresh).map_err(failed("look at"))?.ino();
    std::fs::rename(&fresh, &path).map_err(failed("place"))?;
    Ok(Socket { listener, file: SocketFile { path, inode } })
}

/// No file, or a file that an ended engine left.
pub(super) fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

impl Socket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves until `stop`, then gives requests that are under way a moment to finish: a reader that has
    /// stopped reading must not keep the engine from ending.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> io::Result<()> {
        let Self { listener, file } = self;
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        let served = tokio::select! {
            served = serving.into_future() => served,
            () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
        };
        drop(file);
        served
    }
}
