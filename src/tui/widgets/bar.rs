//! A share as a bar: `███████░`.

use crate::tui::theme::Glyphs;

/// A bar of exactly so many columns; only a whole share fills it, and an unknown one is empty.
pub fn bar(columns: usize, share: Option<f64>, glyphs: &Glyphs) -> String {
    let share = share.filter(|share| share.is_finite()).unwrap_or(0.0).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "at most the columns of a terminal")]
    #[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above")]
    let full = ((columns as f64 * share) as usize).min(columns);
    glyphs.bar_full.repeat(full) + &glyphs.bar_empty.repeat(columns - full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{Palette, Theme};

    #[test]
    fn bars_fill_as_drawn() {
        let unicode = Theme::default().glyphs;
        for (share, drawn) in [
            (Some(0.99), "███████░"),
            (Some(0.71), "█████░░░"),
            (Some(0.02), "░░░░░░░░"),
            (Some(1.0), "████████"),
            (Some(7.0), "████████"),
            (Some(-1.0), "░░░░░░░░"),
            (Some(f64::NAN), "░░░░░░░░"),
            (None, "░░░░░░░░"),
        ] {
            assert_eq!(bar(8, share, unicode), drawn, "{share:?}");
        }
        assert_eq!(bar(4, Some(0.5), Theme::new(Palette::Mono, true).glyphs), "##..");
        assert_eq!(bar(0, Some(0.5), unicode), "");
    }
}
