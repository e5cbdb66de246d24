//! A bordered pane: its title in the border, a mark when it has the focus, and what stands on the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::draw::{blank, cut_line, line_width, put, put_line};
use crate::tui::theme::{Role, Theme};

/// A pane to draw.
#[derive(Clone, Debug, Default)]
pub struct Pane<'a> {
    title: Line<'a>,
    right: Option<Line<'a>>,
    focused: bool,
}

impl<'a> Pane<'a> {
    /// A pane with this title; spans keep their own style above that of titles.
    pub fn new(title: impl Into<Line<'a>>) -> Self {
        Self { title: title.into(), right: None, focused: false }
    }

    /// What stands on the right of the border; it goes first when there is no room.
    #[must_use]
    pub fn right(mut self, right: impl Into<Line<'a>>) -> Self {
        self.right = Some(right.into());
        self
    }

    /// Whether keys go here.
    #[must_use]
    pub fn focused(mut self, focused: bool) -> Self {
        self.focused = focused;
        self
    }

    /// Draws the pane on blank ground and returns what is inside its border.
    pub fn draw(&self, area: Rect, buf: &mut Buffer, theme: &Theme) -> Rect {
        let area = area.intersection(buf.area);
        blank(buf, area);
        if area.width < 2 || area.height < 2 {
            return Rect { width: 0, height: 0, ..area };
        }
        let border = theme.style(if self.focused { Role::Focus } else { Role::Border });
        draw_border(area, buf, theme, border);
        self.draw_titles(Rect { height: 1, ..area }, buf, theme, border);
        Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
    }

    fn draw_titles(&self, row: Rect, buf: &mut Buffer, theme: &Theme, border: Style) {
        // Between the corners, with a blank at both ends.
        let room = usize::from(row.width).saturating_sub(4);
        let mark = if self.focused { theme.glyphs.cursor } else { "" };
        let marked = if self.focused { 2 } else { 0 };
        if room <= marked {
            return;
        }
        let wanted = marked + line_width(&self.title, theme);
        let right =
            self.right.as_ref().filter(|right| wanted + 1 + line_width(right, theme) <= room);
        let title = cut_line(&self.title, room - marked, theme);
        let style = theme.style(Role::Title);
        let row = Rect { width: row.width - 1, ..row };
        let mut x = 1 + put(buf, row, 1, " ", border);
        if self.focused {
            x += put(buf, row, x, mark, border);
            x += put(buf, row, x, " ", border);
        }
        let named = put_line(buf, row, x, &title, style, theme);
        x += named;
        if named > 0 {
            put(buf, row, x, " ", border);
        }
        if let Some(right) = right {
            let columns = u16::try_from(line_width(right, theme)).unwrap_or(u16::MAX);
            let at = row.width - columns - 2;
            put(buf, row, at, " ", border);
            put_line(buf, row, at + 1, right, Style::new(), theme);
            put(buf, row, at + 1 + columns, " ", border);
        }
    }
}

fn draw_border(area: Rect, buf: &mut Buffer, theme: &Theme, style: Style) {
    let set = &theme.glyphs.border;
    let (left, right) = (area.left(), area.right() - 1);
    let (top, bottom) = (area.top(), area.bottom() - 1);
    for x in left..=right {
        buf[(x, top)].set_symbol(set.horizontal_top).set_style(style);
        buf[(x, bottom)].set_symbol(set.horizontal_bottom).set_style(style);
    }
    for y in top..=bottom {
        buf[(left, y)].set_symbol(set.vertical_left).set_style(style);
        buf[(right, y)].set_symbol(set.vertical_right).set_style(style);
    }
    for (at, corner) in [
        ((left, top), set.top_left),
        ((right, top), set.top_right),
        ((left, bottom), set.bottom_left),
        ((right, bottom), set.bottom_right),
    ] {
        buf[at].set_symbol(corner);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{is_inside, seen};
    use super::*;
    use crate::tui::theme::Palette;

    fn top(pane: &Pane<'_>, width: u16, ascii: bool) -> String {
        let mut buf = Buffer::empty(Rect::new(0, 0, width, 3));
        let area = buf.area;
        let inner = pane.draw(area, &mut buf, &Theme::new(Palette::Dark, ascii));
        assert_eq!(inner, Rect::new(1, 1, width - 2, 1));
        seen(&buf).lines().next().unwrap().to_owned()
    }

    #[test]
    fn titles_stand_as_drawn() {
        let incidents =
            Pane::new("Incidents  5 open of 32  sort:urgency  filter:none").focused(true);
        assert_eq!(
            top(&incidents, 60, false),
            "┌ ▸ Incidents  5 open of 32  sort:urgency  filter:none ────┐"
        );
        let log = Pane::new("Log").right("FOLLOW ▼");
        assert_eq!(top(&log, 24, false), "┌ Log ─────── FOLLOW ▼ ┐");
        assert_eq!(top(&log, 24, true), "+ Log ------- FOLLOW v +");
        let paused = Pane::new("INC-0042 crit APPROVE? redis-test leak-oom 02:14")
            .focused(true)
            .right("PAUSED ▼37 new, f follows");
        assert_eq!(
            top(&paused, 80, false),
            "┌ ▸ INC-0042 crit APPROVE? redis-test leak-oom 02:14 PAUSED ▼37 new, f follows ┐"
        );
    }

    #[test]
    fn the_right_title_goes_first_then_the_title_is_cut() {
        let log = Pane::new("Log of INC").right("FOLLOW");
        assert_eq!(top(&log, 21, true), "+ Log of INC FOLLOW +");
        assert_eq!(top(&log, 20, true), "+ Log of INC ------+");
        assert_eq!(top(&log, 12, true), "+ Log of ~ +");
        assert_eq!(top(&log, 5, true), "+ ~ +");
        assert_eq!(top(&log, 4, true), "+--+");
        assert_eq!(top(&Pane::new("漢字漢字"), 10, false), "┌ 漢字… ─┐");
    }

    #[test]
    fn what_was_drawn_before_is_gone() {
        let mut buf = Buffer::filled(Rect::new(0, 0, 4, 3), ratatui::buffer::Cell::new("x"));
        Pane::new("").draw(Rect::new(0, 0, 4, 3), &mut buf, &Theme::new(Palette::Dark, true));
        assert_eq!(seen(&buf), "+--+\n|  |\n+--+");
    }

    proptest! {
        #[test]
        fn any_size_draws_inside(
            title in any::<String>(),
            right in prop::option::of(any::<String>()),
            (x, y, width, height) in (0u16..20, 0u16..6, 0u16..40, 0u16..8),
        ) {
            let mut buf = Buffer::empty(Rect::new(0, 0, 24, 6));
            let mut pane = Pane::new(title).focused(x % 2 == 0);
            if let Some(right) = right {
                pane = pane.right(right);
            }
            let area = Rect::new(x, y, width, height);
            let inner = pane.draw(area, &mut buf, &Theme::default());
            prop_assert_eq!(inner.intersection(area).area(), inner.area());
            prop_assert!(is_inside(&buf));
        }
    }
}
