//! MTTR over time as bars that fit any size: as many of the newest stretches as there is room for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::Buckets;
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::draw::put;

/// A bar is at least one column and a blank, and no wider than this.
const STEP: std::ops::RangeInclusive<usize> = 2..=6;

/// Draws bars with a line of time below.
pub(super) fn draw(buckets: &Buckets, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let width = usize::from(area.width);
    let count = buckets.mean_s.len();
    if count == 0 || width < *STEP.start() || area.height < 2 {
        return;
    }
    let step = (width / count).clamp(*STEP.start(), *STEP.end());
    let shown = count.min(width / step);
    let values = &buckets.mean_s[count - shown..];
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    let rows = usize::from(area.height - 1);
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let eighths = eighths(*value, highest, rows);
        let x = index * step;
        for row in 0..rows {
            let filled = eighths.saturating_sub((rows - 1 - row) * 8).min(8);
            let Some(glyph) = glyph(filled, theme) else { continue };
            let line = line_of(area, row);
            let bar = glyph.repeat(step - 1);
            put(buf, line, columns(x), &bar, theme.style(Role::Verify));
        }
    }
    time_line(buckets.each_s, (shown, step), line_of(area, rows), buf, theme);
}

/// At least one, so that something that was measured is seen.
fn eighths(value: f64, highest: f64, rows: usize) -> usize {
    let all = rows * 8;
    if highest <= 0.0 {
        return 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most eight times the rows")]
    #[expect(clippy::cast_sign_loss, reason = "a share between 0 and 1")]
    let share = ((value / highest).clamp(0.0, 1.0) * all as f64).round() as usize;
    share.clamp(1, all)
}

/// Plain ASCII has whole blocks, and a dot for anything less.
fn glyph(filled: usize, theme: &Theme) -> Option<&'static str> {
    let glyphs = theme.glyphs;
    match filled {
        0 => None,
        8 => Some(glyphs.bar_full),
        _ if glyphs.is_ascii => Some(glyphs.bar_empty),
        some => glyphs.spark.get(some - 1).copied(),
    }
}

fn time_line(
    each_s: i64,
    (shown, step): (usize, usize),
    line: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    let span = each_s * i64::try_from(shown).unwrap_or(1);
    let from = if span < 3 * 86_400 {
        format!("-{}h", span / 3_600)
    } else {
        format!("-{}d", span / 86_400)
    };
    let end = shown * step - 1;
    let muted = theme.style(Role::Muted);
    put(buf, line, 0, &from, muted);
    if end >= from.len() + 4 {
        put(buf, line, columns(end - 3), "now", muted);
    }
}

fn line_of(area: Rect, row: usize) -> Rect {
    Rect { y: area.y + columns(row), height: 1, ..area }
}

fn columns(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::example;
    use crate::tui::theme::Palette;

    fn drawn(values: &[Option<f64>], (width, height): (u16, u16), ascii: bool) -> String {
        let buckets = Buckets { each: "hour".into(), each_s: 3_600, mean_s: values.to_vec() };
        let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
        let area = buf.area;
        draw(&buckets, area, &mut buf, &Theme::new(Palette::Mono, ascii));
        example::text_of(&buf).trim_end_matches(['\n']).to_owned()
    }

    #[test]
    fn the_newest_that_fit_are_drawn() {
        let values = [Some(90.0), None, Some(1.0), Some(8.0), Some(4.0), Some(16.0)];
        assert_eq!(drawn(&values, (9, 3), false), "      █\n▁ █ ▄ █\n-4h now");
        assert_eq!(drawn(&values, (8, 3), true), "      #\n. # . #\n-4h now");
        assert_eq!(drawn(&values[4..], (40, 3), false), "      █████\n▄▄▄▄▄ █████\n-2h     now");
    }

    #[test]
    fn nothing_measured_and_no_room_draw_nothing() {
        assert_eq!(drawn(&[None, None], (4, 2), false).trim(), "-2h");
        assert_eq!(drawn(&[Some(0.0)], (4, 2), false), "▁▁▁\n-1h");
        for (width, height) in [(1, 5), (5, 1), (0, 0)] {
            assert_eq!(drawn(&[Some(1.0)], (width, height), false).trim(), "");
        }
    }
}
