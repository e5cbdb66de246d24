//! How a person writes the look of a role: `green`, `light-red bold`, `#00aa55`.

use ratatui::style::{Color, Modifier, Style};

/// The terminal's own sixteen colours; its palette says what they look like.
const COLORS: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("gray", Color::Gray),
    ("dark-gray", Color::DarkGray),
    ("light-red", Color::LightRed),
    ("light-green", Color::LightGreen),
    ("light-yellow", Color::LightYellow),
    ("light-blue", Color::LightBlue),
    ("light-magenta", Color::LightMagenta),
    ("light-cyan", Color::LightCyan),
    ("white", Color::White),
];

const WEIGHTS: [(&str, Modifier); 4] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("underline", Modifier::UNDERLINED),
    ("reverse", Modifier::REVERSED),
];

/// Reads a look; the reason says what to write instead.
pub fn style(words: &str) -> Result<Style, String> {
    let mut style = Style::new();
    for word in words.split_whitespace() {
        if let Some((_, weight)) = WEIGHTS.iter().find(|(name, _)| *name == word) {
            style = style.add_modifier(*weight);
            continue;
        }
        if style.fg.is_some() {
            return Err(format!(
                "`{words}` names two colours, or a word that is none; write one colour"
            ));
        }
        style = style.fg(color(word)?);
    }
    if style == Style::new() {
        return Err("it says nothing; write a colour like `green` or `#00aa55`".into());
    }
    Ok(style)
}

fn color(word: &str) -> Result<Color, String> {
    if let Some((_, color)) = COLORS.iter().find(|(name, _)| *name == word) {
        return Ok(*color);
    }
    let digits = word.strip_prefix('#').filter(|digits| digits.len() == 6);
    if let Some(number) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        let [_, red, green, blue] = number.to_be_bytes();
        #[expect(clippy::disallowed_methods, reason = "a person's own theme may name any colour")]
        return Ok(Color::Rgb(red, green, blue));
    }
    let names: Vec<_> = COLORS.iter().map(|(name, _)| *name).collect();
    Err(match crate::config::nearest::nearest(word, names.iter().copied()).first() {
        Some(near) => format!("there is no colour `{word}`; did you mean `{near}`?"),
        None => {
            format!("there is no colour `{word}`; write `#rrggbb` or one of {}", names.join(", "))
        }
    })
}

/// The words for a look; [`style`] reads them back.
pub fn style_text(style: Style) -> String {
    let mut words: Vec<String> = Vec::new();
    match style.fg {
        Some(Color::Rgb(red, green, blue)) => {
            words.push(format!("#{red:02x}{green:02x}{blue:02x}"));
        }
        Some(color) => {
            let name = COLORS.iter().find(|(_, known)| *known == color);
            words.extend(name.map(|(name, _)| (*name).to_owned()));
        }
        None => {}
    }
    let weights = WEIGHTS.iter().filter(|(_, weight)| style.add_modifier.contains(*weight));
    words.extend(weights.map(|(name, _)| (*name).to_owned()));
    words.join(" ")
}
