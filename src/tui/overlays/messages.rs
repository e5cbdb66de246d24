//! What was said in the footer, newest last.

use super::text::Text;
use crate::tui::desk::Desk;

/// The messages that are kept, as a text to read.
pub fn open(desk: &Desk) -> Text {
    let line = |message: &crate::tui::desk::Message| {
        format!("{}  {}", message.at.at.format("%H:%M:%S"), message.text)
    };
    let lines: Vec<_> = desk.messages.iter().map(line).collect();
    let title = match lines.len() {
        0 => "Messages  none yet".to_owned(),
        some => format!("Messages  the last {some}, newest last"),
    };
    Text::new(title, &lines.join("\n")).file("messages.txt").at_end()
}
