//! Lines of a word and what it says: `why      91% of bytes are leak:*`.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw::{blank, put};
use crate::tui::text::{Align, fit, wrap};
use crate::tui::theme::{Role, Theme};

/// One word with its text.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub word: &'a str,
    pub text: &'a str,
    /// How the text looks.
    pub role: Role,
}

/// One row of a pair, ready to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    pub word: String,
    pub text: String,
    pub role: Role,
}

/// The rows of these pairs: the words in a column of their own, the texts wrapped beside them.
pub fn rows(
    pairs: &[Pair<'_>],
    word_columns: usize,
    columns: usize,
    theme: &Theme,
) -> Vec<PairRow> {
    let mut rows = Vec::new();
    for pair in pairs {
        let mut word = pair.word;
        for line in pair.text.split('\n') {
            let line = theme.shown(line);
            for text in wrap(&line, columns.saturating_sub(word_columns + 1), 0) {
                let word = fit(
                    &theme.shown(word_once(&mut word)),
                    word_columns,
                    Align::Left,
                    theme.glyphs.cut,
                );
                rows.push(PairRow { word, text: text.to_owned(), role: pair.role });
            }
        }
    }
    rows
}

/// The word for the first row, nothing for the others.
fn word_once<'a>(word: &mut &'a str) -> &'a str {
    std::mem::take(word)
}

/// Draws as many rows as fit, from the top.
pub fn draw(rows: &[PairRow], area: Rect, buf: &mut Buffer, theme: &Theme) {
    blank(buf, area);
    for (row, area) in rows.iter().zip(super::draw::rows(area)) {
        let used = put(buf, area, 0, &row.word, theme.style(Role::Muted));
        put(buf, area, used.saturating_add(1), &row.text, theme.style(row.role));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::widgets::testing::seen;

    #[test]
    fn texts_stand_beside_their_words() {
        let theme = Theme::default();
        let pair = |word, text| Pair { word, text, role: Role::Text };
        let pairs = [pair("why", "91% of bytes are leak:*"), pair("if not", "")];
        let all = rows(&pairs, 6, 20, &theme);
        let mut buf = Buffer::empty(Rect::new(0, 0, 20, 3));
        let area = buf.area;
        draw(&all, area, &mut buf, &theme);
        assert_eq!(seen(&buf), "why    91% of bytes\n       are leak:*\nif not");
        assert!(rows(&pairs, 6, 0, &theme).is_empty());
    }
}
