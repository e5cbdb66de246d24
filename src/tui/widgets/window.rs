//! Which part of a long list is on the screen.

/// A movement in a list or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Top,
    Bottom,
}

impl Move {
    pub const ALL: [Self; 8] = [
        Self::Up,
        Self::Down,
        Self::HalfUp,
        Self::HalfDown,
        Self::PageUp,
        Self::PageDown,
        Self::Top,
        Self::Bottom,
    ];

    /// By how many rows it goes, up being negative; the ends of the list are further than any list.
    pub fn rows(self, height: usize) -> isize {
        let page = isize::try_from(height.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        let half = (page / 2).max(1);
        match self {
            Self::Up => -1,
            Self::Down => 1,
            Self::HalfUp => -half,
            Self::HalfDown => half,
            Self::PageUp => -page,
            Self::PageDown => page,
            Self::Top => -isize::MAX,
            Self::Bottom => isize::MAX,
        }
    }
}

/// The first row on the screen. Which row is selected belongs to the caller, who knows it by its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub offset: usize,
}

impl Window {
    /// Scrolls as little as needed so that the selected row is seen, and no further than the end.
    pub fn keep_visible(&mut self, selected: Option<usize>, len: usize, height: usize) {
        if let Some(selected) = selected.map(|row| row.min(len.saturating_sub(1))) {
            let first = selected.saturating_sub(height.saturating_sub(1));
            self.offset = self.offset.clamp(first, selected);
        }
        self.offset = self.offset.min(len.saturating_sub(height));
    }

    /// The row to select after a movement; without one yet, the first. `None` when the list is empty.
    pub fn moved(selected: Option<usize>, by: Move, len: usize, height: usize) -> Option<usize> {
        let last = len.checked_sub(1)?;
        let Some(selected) = selected else {
            return Some(if by == Move::Bottom { last } else { 0 });
        };
        Some(selected.saturating_add_signed(by.rows(height)).min(last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn movements_stop_at_the_ends() {
        for (selected, by, moved) in [
            (None, Move::Down, 0),
            (None, Move::Bottom, 99),
            (Some(0), Move::Up, 0),
            (Some(50), Move::PageDown, 59),
            (Some(50), Move::HalfUp, 46),
            (Some(95), Move::PageDown, 99),
            (Some(50), Move::Top, 0),
            (Some(50), Move::Bottom, 99),
        ] {
            assert_eq!(Window::moved(selected, by, 100, 10), Some(moved), "{selected:?} {by:?}");
        }
        assert_eq!(Window::moved(Some(3), Move::Down, 0, 10), None);
    }

    #[test]
    fn the_window_moves_no_more_than_it_must() {
        let mut window = Window { offset: 10 };
        window.keep_visible(Some(12), 100, 10);
        assert_eq!(window.offset, 10);
        window.keep_visible(Some(25), 100, 10);
        assert_eq!(window.offset, 16);
        window.keep_visible(Some(3), 100, 10);
        assert_eq!(window.offset, 3);
        window.keep_visible(None, 5, 10);
        assert_eq!(window.offset, 0);
    }

    proptest! {
        #[test]
        fn the_selected_row_is_always_seen(offset in 0usize..200, selected in 0usize..200, len in 1usize..200, height in 1usize..50) {
            let mut window = Window { offset };
            window.keep_visible(Some(selected), len, height);
            let row = selected.min(len - 1);
            prop_assert!(window.offset <= row && row < window.offset + height);
            prop_assert!(window.offset + height <= len.max(height));
        }
    }
}
