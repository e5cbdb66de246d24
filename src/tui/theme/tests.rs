//! Every role can be read on its background, and what promises to be plain is plain.

use super::*;

/// The sixteen colours of xterm, in the order of their numbers.
const XTERM: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];
const BLACK: (u8, u8, u8) = (0, 0, 0);
const WHITE: (u8, u8, u8) = (255, 255, 255);
const LEAST: f64 = 4.4;

fn rgb(color: Color) -> (u8, u8, u8) {
    let named = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    match (named.iter().position(|name| *name == color), color) {
        (Some(index), _) => XTERM[index],
        (None, Color::Indexed(index @ 16..=231)) => cube(index - 16),
        (None, other) => panic!("{other} is not a colour of the console"),
    }
}

/// The 6×6×6 cube of the 256 colours.
fn cube(index: u8) -> (u8, u8, u8) {
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    (level(index / 36), level(index / 6 % 6), level(index % 6))
}

fn luminance((red, green, blue): (u8, u8, u8)) -> f64 {
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

fn contrast(one: (u8, u8, u8), other: (u8, u8, u8)) -> f64 {
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn every_role_can_be_read_on_its_background() {
    for palette in Palette::ALL {
        let background = match palette {
            Palette::Dark => BLACK,
            Palette::Light | Palette::Light256 => WHITE,
            Palette::Mono => continue,
        };
        for role in Role::ALL {
            let style = Theme::new(palette, false).style(role);
            assert_eq!(style.bg, None, "{role:?}: the background is the terminal's own");
            let Some(color) = style.fg else { continue };
            let reached = contrast(rgb(color), background);
            assert!(reached >= LEAST, "{palette:?} {role:?}: {reached:.2}");
        }
    }
}

#[test]
fn the_colours_that_cannot_be_read_are_found() {
    for (color, background) in
        [(Color::Red, BLACK), (Color::Blue, BLACK), (Color::Yellow, WHITE), (Color::Green, WHITE)]
    {
        assert!(contrast(rgb(color), background) < LEAST, "{color}");
    }
}

#[test]
fn without_colours_no_role_has_one() {
    for role in Role::ALL {
        let style = Theme::new(Palette::Mono, false).style(role);
        assert_eq!((style.fg, style.bg, style.underline_color), (None, None, None), "{role:?}");
    }
}

#[test]
fn a_selection_is_reversed_on_every_palette() {
    for palette in Palette::ALL {
        let style = Theme::new(palette, false).style(Role::Selection);
        assert!(style.add_modifier.contains(Modifier::REVERSED), "{palette:?}");
    }
}

#[test]
fn dim_and_grey_are_never_a_colour() {
    for palette in Palette::ALL {
        for role in Role::ALL {
            let style = Theme::new(palette, false).style(role);
            assert_ne!(style.fg, Some(Color::DarkGray), "{palette:?} {role:?}");
        }
    }
}

fn marks(glyphs: &Glyphs) -> Vec<&'static str> {
    let border = glyphs.border;
    let mut all = vec![
        border.top_left,
        border.top_right,
        border.bottom_left,
        border.bottom_right,
        border.vertical_left,
        border.vertical_right,
        border.horizontal_top,
        border.horizontal_bottom,
        glyphs.cursor,
        glyphs.mark,
        glyphs.bar_full,
        glyphs.bar_empty,
        glyphs.scroll_bar,
        glyphs.cut,
        glyphs.more,
        glyphs.caret,
        glyphs.arrow,
        glyphs.down,
        glyphs.live,
        glyphs.target_ok,
        glyphs.target_warn,
        glyphs.target_bad,
        glyphs.ascending,
        glyphs.descending,
    ];
    all.extend(glyphs.spark);
    all
}

const PHASES: [Phase; 9] = [
    Phase::Thinking,
    Phase::Command,
    Phase::Executing,
    Phase::Result,
    Phase::Verifying,
    Phase::Verification,
    Phase::Complete,
    Phase::Error,
    Phase::Operator,
];

#[test]
fn ascii_marks_are_ascii() {
    let theme = Theme::new(Palette::Dark, true);
    let phases = PHASES.map(|phase| theme.phase(phase).0);
    for mark in marks(theme.glyphs).into_iter().chain(phases) {
        assert!(mark.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{mark:?}");
    }
}

#[test]
fn every_mark_takes_one_column() {
    for ascii in [false, true] {
        let theme = Theme::new(Palette::Dark, ascii);
        let wider = [theme.glyphs.more, theme.glyphs.arrow];
        let phases = PHASES.map(|phase| theme.phase(phase).0);
        for mark in marks(theme.glyphs).into_iter().chain(phases) {
            assert!(crate::tui::text::width(mark) == 1 || wider.contains(&mark), "{mark:?}");
        }
    }
}

#[test]
fn phases_differ_without_colour() {
    for ascii in [false, true] {
        let mut glyphs = PHASES.map(|phase| Theme::new(Palette::Mono, ascii).phase(phase).0);
        glyphs.sort_unstable();
        assert!(glyphs.windows(2).all(|pair| pair[0] != pair[1]), "{glyphs:?}");
    }
}
