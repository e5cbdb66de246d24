//! A connection that is patient for so long and no longer: a client that takes nothing is cut off, whatever is being
//! written to it. It also holds the connection's place among all of them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// A connection with a bound on how long a write may wait.
pub(super) struct Patient<IO> {
    io: IO,
    patience: Duration,
    /// Runs while a write waits.
    until: Pin<Box<Sleep>>,
    is_waiting: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl<IO: Unpin> Patient<IO> {
    pub(super) fn new(io: IO, patience: Duration, place: Option<OwnedSemaphorePermit>) -> Self {
        let until = Box::pin(sleep(patience));
        Self { io, patience, until, is_waiting: false, _place: place }
    }

    /// What a write came to; one that waits too long is an error.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut IO>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.io), cx) {
            self.is_waiting = false;
            return Poll::Ready(written);
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.until.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Patient<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Patient<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.bounded(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bounded(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bounded(cx, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.bounded(cx, |io, cx| io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_reads_is_written_to_and_who_does_not_is_cut_off() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut patient = Patient::new(near, Duration::from_millis(50), None);
        patient.write_all(&[1; 64]).await.unwrap();
        let stuck = patient.write_all(&[2; 64]).await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);

        let mut taken = [0; 64];
        far.read_exact(&mut taken).await.unwrap();
        patient.write_all(&[3; 64]).await.unwrap();
    }

    #[tokio::test]
    async fn reading_may_take_as_long_as_it_likes() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut patient = Patient::new(near, Duration::from_millis(10), None);
        let late = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            far.write_all(b"x").await.unwrap();
        };
        let (byte, ()) = tokio::join!(patient.read_u8(), late);
        assert_eq!(byte.unwrap(), b'x');
    }
}
