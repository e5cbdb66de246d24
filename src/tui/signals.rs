//! Signals as the console hears them, and stopping itself.

use std::io;
use std::time::Duration;

use futures::FutureExt;
use rustix::process::{Signal as Number, kill_current_process_group};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a signal may take from the keyboard to us.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// To end; the name of the signal.
    Stop(&'static str),
    /// Ctrl-c of the keyboard, which in raw mode means another program has the terminal.
    Interrupt(&'static str),
    /// The terminal was closed.
    Hangup,
    Suspend,
    /// It goes on after it was stopped.
    Continue,
}

/// The signals the console listens to, from now on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    suspend: Signal,
    go_on: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        let other = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            suspend: other(Number::TSTP)?,
            go_on: other(Number::CONT)?,
        })
    }

    /// Returns with the next one.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            _ = self.hangup.recv() => Heard::Hangup,
            _ = self.terminate.recv() => Heard::Stop("SIGTERM"),
            _ = self.quit.recv() => Heard::Interrupt("SIGQUIT"),
            _ = self.interrupt.recv() => Heard::Interrupt("SIGINT"),
            _ = self.go_on.recv() => Heard::Continue,
            _ = self.suspend.recv() => Heard::Suspend,
        }
    }

    /// Another program has ended: a ctrl-c that was meant for it may still be on its way to us.
    pub async fn forget_interrupts(&mut self) {
        tokio::time::sleep(ON_ITS_WAY).await;
        while self.interrupt.recv().now_or_never().is_some() {}
        while self.quit.recv().now_or_never().is_some() {}
    }

    /// Stops the whole job, as a shell expects it, until the shell lets it go on.
    ///
    /// By SIGSTOP, since SIGTSTP is one we listen to and so does nothing any more.
    pub async fn stop_here(&mut self) -> io::Result<()> {
        kill_current_process_group(Number::STOP)?;
        self.go_on.recv().await;
        Ok(())
    }
}

/// Whether somebody is there who could let it go on: a parent in the same session, as a shell is.
pub fn has_shell() -> bool {
    let ours = session_of(std::process::id());
    ours.is_some() && session_of(std::os::unix::process::parent_id()) == ours
}

/// Read and not asked: where the leader is outside of this process namespace, the session is 0, which a `Pid`
/// cannot be.
#[cfg(target_os = "linux")]
fn session_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its second field is a name, which may hold blanks and brackets.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn session_of(pid: u32) -> Option<u32> {
    let pid = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
    let session = rustix::process::getsid(Some(pid)).ok()?;
    session.as_raw_nonzero().get().try_into().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_session_is_the_one_the_system_tells() {
        // The leader of a session in another process namespace has no number here.
        let read = super::session_of(std::process::id()).expect("our own line in /proc");
        if read != 0 {
            let told = rustix::process::getsid(None).expect("our own session");
            assert_eq!(u32::try_from(told.as_raw_nonzero().get()), Ok(read));
        }
        assert_eq!(super::session_of(u32::MAX), None);
    }
}
