//! What the console does on this machine: the clipboard, private files, the names of other programs.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The most that terminals take through their own clipboard sequence.
pub const MOST_BY_TERMINAL: usize = 74_994;
/// How long a clipboard program may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads an environment variable; empty is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

// ---- clipboard ------------------------------------------------------------------------------------------

/// A program that puts its input on the clipboard.
type Tool = (&'static str, &'static [&'static str]);

/// The programs worth trying, best first. Over SSH they would reach the wrong machine's clipboard.
pub fn clipboard_tools(env: Env<'_>) -> Vec<Tool> {
    if env("SSH_TTY").is_some() || env("SSH_CONNECTION").is_some() {
        return Vec::new();
    }
    let mut tools: Vec<Tool> = Vec::new();
    if env("WAYLAND_DISPLAY").is_some() {
        tools.push(("wl-copy", &[]));
    }
    if env("DISPLAY").is_some() {
        tools.push(("xclip", &["-selection", "clipboard"]));
        tools.push(("xsel", &["--clipboard", "--input"]));
    }
    if cfg!(target_os = "macos") {
        tools.push(("pbcopy", &[]));
    }
    tools
}

/// Gives text to the first program that takes it; its name.
pub async fn copy_by_tool(tools: &[Tool], text: &str) -> Option<&'static str> {
    for (name, args) in tools {
        match timeout(PATIENCE, give(name, args, text)).await {
            Ok(Ok(true)) => return Some(name),
            Ok(Ok(false) | Err(_)) | Err(_) => tracing::debug!(name, "did not take the copy"),
        }
    }
    None
}

async fn give(name: &str, args: &[&str], text: &str) -> io::Result<bool> {
    let mut child = Command::new(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).await?;
    }
    Ok(child.wait().await?.success())
}

/// The bytes that ask the terminal to take the text; `None` when it is too much for that.
pub fn copy_by_terminal(text: &str, env: Env<'_>) -> Option<Vec<u8>> {
    if text.len() > MOST_BY_TERMINAL {
        return None;
    }
    let mut plain = String::new();
    // Writing into a string cannot fail.
    let _ = CopyToClipboard::to_clipboard_from(text).write_ansi(&mut plain);
    if env("TMUX").is_none() {
        return Some(plain.into_bytes());
    }
    // tmux takes the plain one itself or passes the wrapped one on, by its own settings.
    let wrapped = format!("\x1bPtmux;{}\x1b\\", plain.replace('\x1b', "\x1b\x1b"));
    Some(format!("{plain}{wrapped}").into_bytes())
}

/// The bytes that make the terminal show a notification. What could end the sequence is left out.
pub fn notification(text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\x1b]9;{text}\x07").into_bytes()
}

// ---- files ----------------------------------------------------------------------------------------------

/// Writes a new file that only its owner may read; a name that is taken gets a number.
pub fn write_private(dir: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let name: String =
        name.chars().map(|c| if c == '/' || c.is_control() { '-' } else { c }).collect();
    let (stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem.to_owned(), format!(".{end}")),
        _ => (name, String::new()),
    };
    for number in 1..=1_000 {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let path = dir.join(format!("{stem}{number}{end}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
}

/// A private file that is removed when nobody needs it any more.
#[derive(Debug)]
pub struct Scratch {
    pub path: PathBuf,
}

impl Scratch {
    /// Writes text for another program to open.
    pub fn write(state_dir: &Path, name: &str, text: &str) -> io::Result<Self> {
        let name = format!("{}-{name}", std::process::id());
        Ok(Self { path: write_private(&state_dir.join("scratch"), &name, text)? })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

// ---- other programs -------------------------------------------------------------------------------------

/// A program that shows or edits a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    Pager,
    Editor,
}

impl Viewer {
    /// The words to start it with, without the file: of the user's variable, else what most machines have.
    pub fn words(self, env: Env<'_>) -> Vec<String> {
        let (names, default) = match self {
            Self::Pager => (&["PAGER"][..], "less"),
            Self::Editor => (&["VISUAL", "EDITOR"][..], "vi"),
        };
        let chosen = names.iter().find_map(|name| env(name)).unwrap_or_else(|| default.into());
        let words = words(&chosen);
        if words.is_empty() { vec![default.into()] } else { words }
    }

    /// What to set when it cannot be started.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Pager => "PAGER",
            Self::Editor => "EDITOR",
        }
    }
}

/// Starts a program on a file; it gets the terminal.
pub fn open(words: &[String], file: &Path) -> io::Result<Child> {
    let Some((program, args)) = words.split_first() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no program is named"));
    };
    Command::new(program).args(args).arg(file).spawn()
}

/// Splits at blanks, but not within quotes; nothing else means anything.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                is_word = true;
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn over_ssh_only_the_terminal_reaches_the_right_clipboard() {
        let local = [("WAYLAND_DISPLAY", "wayland-0"), ("DISPLAY", ":0")];
        let names: Vec<_> = clipboard_tools(&with(&local)).iter().map(|tool| tool.0).collect();
        assert!(names.starts_with(&["wl-copy", "xclip", "xsel"]), "{names:?}");
        let remote = [("DISPLAY", ":10"), ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")];
        assert!(clipboard_tools(&with(&remote)).is_empty());
    }

    #[test]
    fn the_terminal_is_asked_by_a_sequence_that_tmux_lets_through() {
        let plain = copy_by_terminal("hé", &with(&[])).unwrap();
        assert_eq!(plain, b"\x1b]52;c;aMOp\x1b\\");
        let tmux = copy_by_terminal("hé", &with(&[("TMUX", "/tmp/t,1,0")])).unwrap();
        let wrapped = b"\x1bPtmux;\x1b\x1b]52;c;aMOp\x1b\x1b\\\x1b\\";
        assert_eq!(tmux, [&plain[..], &wrapped[..]].concat());
        assert!(copy_by_terminal(&"x".repeat(MOST_BY_TERMINAL), &with(&[])).is_some());
        assert!(copy_by_terminal(&"x".repeat(MOST_BY_TERMINAL + 1), &with(&[])).is_none());
    }

    #[test]
    fn a_notification_cannot_end_its_own_sequence() {
        assert_eq!(notification("a\x07b\x1b\\c"), b"\x1b]9;ab\\c\x07");
    }

    #[test]
    fn a_private_file_takes_a_free_name_within_its_folder() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("exports");
        let first = write_private(&dir, "../log.txt", "one").unwrap();
        let second = write_private(&dir, "../log.txt", "two").unwrap();
        assert_eq!(first, dir.join("..-log.txt"));
        assert_eq!(second, dir.join("..-log-2.txt"));
        assert_eq!(std::fs::read_to_string(&second).unwrap(), "two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&first)), (0o700, 0o600));
    }

    #[test]
    fn a_variable_is_split_into_words_and_no_shell_reads_it() {
        let env = [("PAGER", "less -R  '+/a b' \"\" $HOME;ls"), ("EDITOR", "  ")];
        let expected = ["less", "-R", "+/a b", "", "$HOME;ls"];
        assert_eq!(Viewer::Pager.words(&with(&env)), expected);
        assert_eq!(Viewer::Editor.words(&with(&env)), ["vi"]);
    }
}
