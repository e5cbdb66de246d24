//! Writing text into a buffer so that nothing leaves its place.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::tui::text::{cut, units, width};
use crate::tui::theme::Theme;

/// Writes text that is clean already into the row of `area`, `skipped` columns from its left, cut at its right edge. Returns
/// the columns it took.
pub fn put(buf: &mut Buffer, area: Rect, skipped: u16, text: &str, style: Style) -> u16 {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return 0;
    }
    let start = area.x.saturating_add(skipped).min(area.right());
    let mut x = start;
    for (unit, wide) in units(text) {
        let wide = u16::try_from(wide).unwrap_or(u16::MAX);
        if wide == 0 {
            continue;
        }
        if wide > area.right() - x {
            break;
        }
        buf[(x, area.y)].set_symbol(unit).set_style(style);
        for covered in x + 1..x + wide {
            buf[(covered, area.y)].reset();
            buf[(covered, area.y)].set_style(style);
        }
        x += wide;
    }
    x - start
}

/// Writes a line of spans the same way, `base` below each span's own style.
pub fn put_line(
    buf: &mut Buffer,
    area: Rect,
    skipped: u16,
    line: &Line<'_>,
    base: Style,
    theme: &Theme,
) -> u16 {
    let mut used = 0;
    for span in &line.spans {
        let style = base.patch(line.style).patch(span.style);
        used += put(buf, area, skipped.saturating_add(used), &theme.shown(&span.content), style);
    }
    used
}

/// The columns a line takes once it is cleaned.
pub fn line_width(line: &Line<'_>, theme: &Theme) -> usize {
    line.spans.iter().map(|span| width(&theme.shown(&span.content))).sum()
}

/// As much of a line as fits, with the ellipsis behind it.
pub fn cut_line<'a>(line: &Line<'a>, columns: usize, theme: &Theme) -> Line<'a> {
    let mut left = columns;
    let mut kept = Line { spans: Vec::new(), ..line.clone() };
    let whole = line_width(line, theme) <= columns;
    for span in &line.spans {
        let text = theme.shown(&span.content).into_owned();
        let fits = width(&text) < left || (whole && width(&text) == left);
        let shown =
            if fits { text } else { cut(&format!("{text} "), left, theme.glyphs.cut).into_owned() };
        left = left.saturating_sub(width(&shown));
        kept.spans.push(ratatui::text::Span::styled(shown, span.style));
        if !fits && !whole {
            break;
        }
    }
    kept
}

/// The rows of an area, top to bottom.
pub fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (area.top()..area.bottom()).map(move |y| Rect { y, height: 1, ..area })
}

/// Blanks an area, whatever was drawn there.
pub fn blank(buf: &mut Buffer, area: Rect) {
    let area = area.intersection(buf.area);
    for position in area.positions() {
        buf[position].reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::text::Span;

    use super::super::testing::seen;
    use super::*;
    use crate::tui::text::clean;

    fn drawn(text: &str, columns: u16) -> String {
        let mut buf = Buffer::empty(Rect::new(0, 0, columns, 1));
        let area = buf.area;
        put(&mut buf, area, 0, text, Style::new());
        seen(&buf)
    }

    #[test]
    fn text_stops_at_the_edge_and_splits_nothing() {
        assert_eq!(drawn("漢字漢", 5), "漢字");
        assert_eq!(drawn("e\u{301}x", 2), "e\u{301}x");
        assert_eq!(drawn("abc", 0), "");
    }

    #[test]
    fn a_cut_line_keeps_its_spans() {
        let line = Line::from(vec![Span::raw("ab"), Span::raw("cd"), Span::raw("ef")]);
        let text = |columns| {
            let cut = cut_line(&line, columns, &Theme::default());
            cut.spans.iter().map(|span| span.content.to_string()).collect::<String>()
        };
        assert_eq!(text(6), "abcdef");
        assert_eq!(text(5), "abcd…");
        assert_eq!(text(4), "abc…");
        assert_eq!(text(2), "a…");
        assert_eq!(text(1), "…");
        assert_eq!(text(0), "");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_row(text in any::<String>(), columns in 0u16..12, skipped in 0u16..14) {
            let mut buf = Buffer::empty(Rect::new(0, 0, 12, 2));
            let before = buf.clone();
            let used = put(&mut buf, Rect::new(0, 0, columns, 2), skipped, &clean(&text), Style::new());
            prop_assert!(skipped.saturating_add(used) <= columns.max(skipped));
            for at in buf.area.positions().filter(|at| at.x >= columns || at.y == 1) {
                prop_assert_eq!(&buf[at], &before[at]);
            }
        }

        #[test]
        fn a_cut_line_is_never_wider(parts in prop::collection::vec(any::<String>(), 0..4), columns in 0usize..12) {
            let line = Line::from(parts.into_iter().map(Span::raw).collect::<Vec<_>>());
            let theme = Theme::default();
            prop_assert!(line_width(&cut_line(&line, columns, &theme), &theme) <= columns);
        }
    }
}
