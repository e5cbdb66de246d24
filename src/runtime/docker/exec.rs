//! One command inside a container: both streams apart, its stdin fed, its exit code.

use std::pin::Pin;
use std::time::Duration;

use anyhow::bail;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::domain::execution::Output;
use crate::ports::runtime::{Sink, Streams};
use crate::runtime::capture::Capture;

/// The exit code of a command that could not be started.
const NOT_STARTED: i64 = 126;
/// How the engine begins to say so.
const NOT_STARTED_WORDS: &str = "OCI runtime exec failed";

/// Runs `argv` and waits for its end. The engine offers no way to end it: when the caller's deadline
/// drops this future, the command goes on inside, so commands carry time limits of their own.
pub(super) async fn run(
    docker: &Docker,
    container: &str,
    argv: &[String],
    stdin: Option<&[u8]>,
    output_bytes: usize,
) -> Result<Output, DockerError> {
    let began = Instant::now();
    let config = ExecConfig {
        attach_stdin: Some(stdin.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(argv.to_vec()),
        ..Default::default()
    };
    let id = docker.create_exec(container, config).await?.id;
    let mut capture = Capture::new(output_bytes);
    match docker.start_exec(&id, None::<StartExecOptions>).await {
        Ok(StartExecResults::Attached { mut output, input }) => {
            let (fed, read) = futures::join!(feed(input, stdin), read(&mut output, &mut capture));
            // A command may end without reading all its input; its exit code tells the story.
            drop(fed);
            read?;
        }
        Ok(StartExecResults::Detached) => {}
        // Newer engines refuse here what older ones print into the stream.
        Err(DockerError::DockerResponseServerError { message, .. })
            if message.contains(NOT_STARTED_WORDS) =>
        {
            capture.stderr.push(message.as_bytes());
            return Ok(capture.finish(Some(NOT_STARTED), began.elapsed()));
        }
        Err(error) => return Err(error),
    }
    let exit_code = exit_code(docker, &id).await?;
    Ok(tell_apart(capture.finish(exit_code, began.elapsed())))
}

/// Runs `argv` with its streams in the caller's hands, however much flows. Its exit code.
pub(super) async fn converse(
    docker: &Docker,
    container: &str,
    argv: &[String],
    env: &[(String, String)],
    streams: Streams<'_>,
) -> anyhow::Result<Option<i64>> {
    let config = ExecConfig {
        attach_stdin: Some(streams.input.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(argv.to_vec()),
        env: Some(env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        ..Default::default()
    };
    let id = docker.create_exec(container, config).await?.id;
    let StartExecResults::Attached { output, input } =
        docker.start_exec(&id, None::<StartExecOptions>).await?
    else {
        bail!("the engine keeps its streams to itself");
    };
    let Streams { input: file, output: to, errors } = streams;
    let talk = hand_over(output, to, errors);
    match file {
        None => talk.await?,
        Some(path) => {
            let mut file = File::open(path).await?;
            tokio::pin!(talk);
            // A command may end without reading all its input: then nobody takes the rest.
            tokio::select! {
                heard = &mut talk => heard?,
                _ = pour(&mut file, input) => talk.await?,
            }
        }
    }
    Ok(exit_code(docker, &id).await?)
}

async fn pour(file: &mut File, mut input: Pin<Box<dyn AsyncWrite + Send>>) -> std::io::Result<()> {
    tokio::io::copy(file, &mut input).await?;
    input.shutdown().await
}

async fn hand_over(
    mut from: impl Stream<Item = Result<LogOutput, DockerError>> + Unpin,
    output: Sink<'_>,
    errors: Sink<'_>,
) -> anyhow::Result<()> {
    while let Some(chunk) = from.next().await {
        match chunk? {
            LogOutput::StdOut { message } | LogOutput::Console { message } => output(&message)?,
            LogOutput::StdErr { message } => errors(&message)?,
            LogOutput::StdIn { .. } => {}
        }
    }
    Ok(())
}

async fn feed(
    mut input: Pin<Box<dyn AsyncWrite + Send>>,
    stdin: Option<&[u8]>,
) -> std::io::Result<()> {
    let Some(bytes) = stdin else { return Ok(()) };
    input.write_all(bytes).await?;
    input.shutdown().await
}

async fn read(
    output: &mut (impl Stream<Item = Result<LogOutput, DockerError>> + Unpin),
    capture: &mut Capture,
) -> Result<(), DockerError> {
    while let Some(chunk) = output.next().await {
        match chunk? {
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                capture.stdout.push(&message);
            }
            LogOutput::StdErr { message } => capture.stderr.push(&message),
            LogOutput::StdIn { .. } => {}
        }
    }
    Ok(())
}

/// The stream ends a moment before the engine knows the exit code.
async fn exit_code(docker: &Docker, id: &str) -> Result<Option<i64>, DockerError> {
    loop {
        let seen = docker.inspect_exec(id).await?;
        if seen.running != Some(true) {
            return Ok(seen.exit_code);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The engine prints its own error as if the command had printed it.
fn tell_apart(mut output: Output) -> Output {
    let engines = output.exit_code.is_some_and(|code| code == NOT_STARTED || code == 127)
        && output.stdout.starts_with(NOT_STARTED_WORDS);
    if engines {
        output.stderr = std::mem::take(&mut output.stdout);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_own_words_are_no_output_of_the_command() {
        let said = "OCI runtime exec failed: exec failed: no-such: not found";
        let of = |exit_code, stdout: &str| Output {
            exit_code,
            stdout: stdout.into(),
            ..Default::default()
        };
        let moved = tell_apart(of(Some(126), said));
        assert_eq!((moved.stdout.as_str(), moved.stderr.as_str()), ("", said));
        let kept = tell_apart(of(Some(126), "permission denied"));
        assert_eq!(kept.stdout, "permission denied");
        let kept = tell_apart(of(Some(0), said));
        assert_eq!(kept.stdout, said);
    }
}
