//! Classes of terminal size, which decide the layout.

use ratatui::layout::Rect;

/// What fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    TooSmall,
    /// One pane.
    Tiny,
    /// Stacked panes.
    Small,
    /// Two columns.
    Standard,
    /// Three columns.
    Wide,
}

impl Class {
    /// The class of a whole terminal; it needs both dimensions.
    pub fn of((columns, rows): (u16, u16)) -> Self {
        let fits = |c: u16, r: u16| columns >= c && rows >= r;
        match () {
            () if !fits(40, 8) => Self::TooSmall,
            () if !fits(64, 18) => Self::Tiny,
            () if !fits(110, 30) => Self::Small,
            () if !fits(170, 42) => Self::Standard,
            () => Self::Wide,
        }
    }
}

/// Whether a terminal of this area only gets the sentence that it is too small.
pub fn is_too_small(area: Rect) -> bool {
    is_too_small_for((area.width, area.height))
}

/// The same by columns and rows.
pub fn is_too_small_for(size: (u16, u16)) -> bool {
    Class::of(size) == Class::TooSmall
}
