//! A course of values as one row of glyphs, the newest on the right.

use crate::tui::theme::Glyphs;

/// What the lowest and the highest glyph stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// The lowest and the highest value shown.
    #[default]
    Own,
    Fixed {
        low: f64,
        high: f64,
    },
}

/// Exactly so many columns. More values than columns share one by their highest, fewer leave blanks on the left;
/// a value that is missing is blank.
pub fn spark(values: &[Option<f64>], columns: usize, scale: Scale, glyphs: &Glyphs) -> String {
    let shown = resampled(values, columns);
    let (low, high) = match scale {
        Scale::Fixed { low, high } => (low, high),
        Scale::Own => shown
            .iter()
            .flatten()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v))),
    };
    let mut row = " ".repeat(columns - shown.len());
    for value in shown {
        row.push_str(value.map_or(" ", |value| glyphs.spark[level(value, low, high)]));
    }
    row
}

fn resampled(values: &[Option<f64>], columns: usize) -> Vec<Option<f64>> {
    let known = |value: &Option<f64>| value.filter(|value| value.is_finite());
    let count = values.len();
    if count <= columns {
        return values.iter().map(known).collect();
    }
    let highest = |values: &[Option<f64>]| values.iter().filter_map(known).reduce(f64::max);
    (0..columns).map(|n| highest(&values[n * count / columns..(n + 1) * count / columns])).collect()
}

fn level(value: f64, low: f64, high: f64) -> usize {
    let range = high - low;
    // A course that does not move lies at the bottom; a range beyond all numbers has no middle.
    if range <= 0.0 || !range.is_finite() {
        return if value > low { 7 } else { 0 };
    }
    #[expect(clippy::cast_possible_truncation, reason = "0 to 7")]
    #[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above")]
    let level = ((value - low) / range * 7.0).round().clamp(0.0, 7.0) as usize;
    level
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::theme::Theme;

    fn drawn(values: &[Option<f64>], columns: usize, scale: Scale) -> String {
        spark(values, columns, scale, Theme::default().glyphs)
    }

    #[test]
    fn the_newest_value_is_on_the_right() {
        let rising = [Some(0.0), Some(50.0), None, Some(100.0)];
        assert_eq!(drawn(&rising, 4, Scale::Own), "▁▅ █");
        assert_eq!(drawn(&rising, 6, Scale::Own), "  ▁▅ █");
        let fixed = Scale::Fixed { low: 0.0, high: 200.0 };
        assert_eq!(drawn(&rising, 4, fixed), "▁▃ ▅");
    }

    #[test]
    fn a_short_peak_survives_a_narrow_row() {
        let mut values = vec![Some(1.0); 100];
        values[42] = Some(9.0);
        assert_eq!(drawn(&values, 4, Scale::Own), "▁█▁▁");
    }

    #[test]
    fn what_is_no_number_is_blank_and_what_stands_still_is_low() {
        assert_eq!(drawn(&[Some(f64::NAN), Some(3.0), Some(3.0)], 3, Scale::Own), " ▁▁");
        assert_eq!(drawn(&[], 3, Scale::Own), "   ");
        let beyond = Scale::Fixed { low: 0.0, high: 1.0 };
        assert_eq!(drawn(&[Some(-9.0), Some(9.0)], 2, beyond), "▁█");
    }

    proptest! {
        #[test]
        fn it_is_exactly_as_wide_as_asked(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..60), columns in 0usize..40) {
            prop_assert_eq!(drawn(&values, columns, Scale::Own).chars().count(), columns);
        }
    }
}
