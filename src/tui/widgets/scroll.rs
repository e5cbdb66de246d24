//! The scroll bar in the right border of a pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::theme::{Role, Theme};

/// Draws where `visible` of `len` rows from `offset` stand, in the column right of `inner`; nothing when all are
/// seen.
pub fn scroll_bar(
    inner: Rect,
    buf: &mut Buffer,
    theme: &Theme,
    (len, offset, visible): (usize, usize, usize),
) {
    let x = inner.right();
    if len <= visible || inner.height == 0 || !buf.area.contains((x, inner.y).into()) {
        return;
    }
    let style = theme.style(Role::Border);
    let mut track = inner.intersection(buf.area);
    if theme.glyphs.is_ascii && track.height > 2 {
        buf[(x, track.top())].set_symbol(theme.glyphs.ascending).set_style(style);
        buf[(x, track.bottom() - 1)].set_symbol(theme.glyphs.descending).set_style(style);
        track = Rect { y: track.y + 1, height: track.height - 2, ..track };
    }
    let height = usize::from(track.height);
    let thumb = (height * visible / len).max(1);
    let scrolled = offset.min(len - visible);
    let start = (height - thumb) * scrolled / (len - visible);
    for y in (track.top()..track.bottom()).skip(start).take(thumb) {
        buf[(x, y)].set_symbol(theme.glyphs.scroll_bar).set_style(style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Palette;
    use crate::tui::widgets::testing::seen;

    fn column(height: u16, ascii: bool, place: (usize, usize, usize)) -> String {
        let mut buf = Buffer::empty(Rect::new(0, 0, 1, height));
        let inner = Rect::new(0, 0, 0, height);
        scroll_bar(inner, &mut buf, &Theme::new(Palette::Mono, ascii), place);
        seen(&buf).split('\n').map(|row| if row.is_empty() { "." } else { row }).collect()
    }

    #[test]
    fn it_shows_where_the_window_is() {
        assert_eq!(column(6, false, (12, 0, 6)), "███...");
        assert_eq!(column(6, false, (12, 6, 6)), "...███");
        assert_eq!(column(6, true, (12, 0, 6)), "^##..v");
        assert_eq!(column(6, false, (1_000_000, 500_000, 6)), "..█...");
        assert_eq!(column(3, false, (3, 0, 3)), "...", "all rows are seen");
        assert_eq!(column(0, false, (3, 0, 0)), ".");
        assert_eq!(column(2, true, (9, 99, 2)), ".#");
    }
}
