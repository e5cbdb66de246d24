//! What surrounds every screen: header, footer, where overlays go, and the words for a terminal that is too small.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::console::Console;
use super::desk::Desk;
use super::keymap::{self, Action};
use super::message::Link;
use super::overlays::Place;
use super::readings;
use super::size::Class;
use super::theme::Role;
use crate::engine::handle::Snapshot;

/// Header, body and footer.
pub fn parts(area: Rect) -> [Rect; 3] {
    let body = area.height.saturating_sub(2);
    let row = |y: u16, height: u16| Rect { x: area.x, y: area.y + y, width: area.width, height };
    [row(0, 1), row(1, body), row(1 + body, 1)]
}

/// The part of the body that stays with the screen, and the overlay's.
pub fn placed(place: Place, body: Rect) -> (Option<Rect>, Rect) {
    match place {
        Place::Full => (None, body),
        Place::Docked { rows } => {
            let rows = rows.min(body.height);
            let rest = body.height - rows;
            let over = Rect { y: body.y + rest, height: rows, ..body };
            ((rest >= 3).then_some(Rect { height: rest, ..body }), over)
        }
        Place::Centered { columns, rows } if columns + 2 < body.width && rows + 2 < body.height => {
            let over = Rect {
                x: body.x + (body.width - columns) / 2,
                y: body.y + (body.height - rows) / 2,
                width: columns,
                height: rows,
            };
            (Some(body), over)
        }
        Place::Centered { .. } => (None, body),
    }
}

/// Makes room for an overlay.
pub fn wipe(area: Rect, buf: &mut Buffer) {
    Clear.render(area.intersection(buf.area), buf);
}

/// A terminal in which nothing useful fits.
pub fn too_small(area: Rect, buf: &mut Buffer) {
    let size = format!("terminal {}x{} is too small", area.width, area.height);
    let lines = [size.as_str(), "need 40x8 (80x24 is comfortable)", "q quits, resize continues"];
    for (row, line) in (area.y..area.bottom()).zip(lines) {
        buf.set_stringn(area.x, row, line, usize::from(area.width), Style::new());
    }
}

/// Replaces every character that is not ASCII: texts of servers may hold some.
pub fn to_ascii(buf: &mut Buffer) {
    for cell in &mut buf.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let plain = match symbol {
            "…" => "~",
            "→" => ">",
            "·" => ".",
            "▸" => ">",
            _ => "?",
        };
        cell.set_symbol(plain);
    }
}

/// What of a snapshot changes with samples alone and stands on the screen, as text.
pub fn glance(snapshot: &Snapshot) -> Vec<String> {
    snapshot.targets.iter().map(|view| readings::glance(view)).collect()
}

// ---- header ---------------------------------------------------------------------------------------------

/// Tabs, what waits, whether changes are allowed, and as of when this is.
pub fn header(console: &Console, area: Rect, buf: &mut Buffer) {
    let desk = &console.desk;
    let left = tabs(console, area.width);
    let columns = usize::from(area.width);
    let room = columns.saturating_sub(left.width());
    left.render(area, buf);
    // What waits and whether changes are allowed is always there, if need be over the tabs.
    let all = [Detail::Whole, Detail::NoPlace, Detail::NoTime, Detail::Least];
    let fitting = all.into_iter().map(|detail| badges(desk, area.width, detail));
    let mut fitting = fitting.skip_while(|line| line.width() > room);
    let right = fitting.next().unwrap_or_else(|| badges(desk, area.width, Detail::Least));
    let width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(area.width);
    let over = Rect { x: area.right() - width, width, ..area };
    wipe(over, buf);
    right.render(over, buf);
}

/// How much of the badges fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Least,
    NoTime,
    NoPlace,
    Whole,
}

fn tabs(console: &Console, width: u16) -> Line<'static> {
    let theme = &console.desk.theme;
    let mut spans = vec![Span::styled(" simctl ", theme.style(Role::Title))];
    for (index, screen) in console.screens.iter().enumerate() {
        let is_current = index == console.current;
        let title = screen.title();
        let word = if width < 100 { title.get(..3).unwrap_or(title) } else { title };
        let number = index + 1;
        match (is_current, width < 64) {
            (true, true) => {
                spans.push(Span::styled(format!("[{number} {title}]"), theme.style(Role::Title)));
            }
            (true, false) => {
                spans.push(Span::styled(format!("[{number} {word}]"), theme.style(Role::Title)));
            }
            (false, true) => {}
            (false, false) => spans.push(Span::raw(format!(" {number} {word} "))),
        }
    }
    Line::from(spans)
}

fn badges(desk: &Desk, width: u16, detail: Detail) -> Line<'static> {
    let theme = &desk.theme;
    let gap = if width >= 170 { "   " } else { "  " };
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut push = |text: String, role: Role| {
        if !spans.is_empty() {
            spans.push(Span::raw(gap));
        }
        spans.push(Span::styled(text, theme.style(role)));
    };
    if desk.frozen {
        push("FROZEN".into(), Role::Warn);
    }
    if desk.settings.mouse && detail >= Detail::NoPlace {
        push("mouse".into(), Role::Muted);
    }
    if width >= 100
        && detail >= Detail::Whole
        && let Some(lab) = &desk.settings.lab
    {
        push(format!("env {lab}"), Role::Muted);
    }
    if width >= 170 {
        push(desk.settings.operator.clone(), Role::Muted);
    }
    let open = desk.newest.incidents.iter().filter(|incident| incident.is_open()).count();
    if detail >= Detail::NoTime {
        push(format!("{open} open"), Role::Text);
    }
    match desk.waiting().len() {
        0 => push("0 waiting".into(), Role::Muted),
        waiting => push(format!("{waiting} APPROVE?"), Role::Warn),
    }
    let (long, short) =
        if desk.settings.read_only { ("READ-ONLY", "RO") } else { ("read-write", "RW") };
    push(if width >= 100 { long } else { short }.into(), Role::Text);
    let is_there = matches!(desk.link, Link::Here | Link::Attached);
    if detail >= Detail::NoPlace || !is_there {
        push(link(desk, width), link_role(desk));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// How the engine is reached and when this picture was made.
fn link(desk: &Desk, width: u16) -> String {
    let live = desk.theme.glyphs.live;
    let time = desk.now.at.format("%H:%M:%S");
    let word = match &desk.link {
        Link::Starting => "starting",
        Link::Here => "live",
        Link::Attached => "attached",
        Link::Lost { .. } => "LOST",
    };
    match (&desk.link, width >= 170) {
        (_, true) => format!("{live} {word}   {} UTC", desk.now.at.format("%Y-%m-%d %H:%M:%S")),
        (Link::Lost { .. } | Link::Starting, false) => format!("{word} {time}"),
        (Link::Here | Link::Attached, false) => format!("{live}{time}"),
    }
}

fn link_role(desk: &Desk) -> Role {
    match desk.link {
        Link::Here | Link::Attached => Role::Ok,
        Link::Starting => Role::Warn,
        Link::Lost { .. } => Role::Bad,
    }
}

// ---- footer ---------------------------------------------------------------------------------------------

/// A message, a prompt, or the keys that work now.
pub fn footer(console: &Console, area: Rect, buf: &mut Buffer) {
    let desk = &console.desk;
    if let Some(overlay) = console.overlays.last() {
        if let Some(message) = desk.message_now() {
            return say(desk, message.is_error, &message.text, area, buf);
        }
        let hints = overlay.hints(desk);
        return render_hints(desk, &hints, &[], area, buf);
    }
    if let Some((what, text)) = console.screen().and_then(|screen| screen.prompt()) {
        let line = format!(" {what}: {text}{}", desk.theme.glyphs.caret);
        buf.set_stringn(area.x, area.y, line, usize::from(area.width), Style::new());
        return;
    }
    if let Some(message) = desk.message_now() {
        return say(desk, message.is_error, &message.text, area, buf);
    }
    let pinned =
        [hint(desk, Action::Help), hint(desk, Action::Quit)].map(Option::unwrap_or_default);
    render_hints(desk, &hints(console), &pinned, area, buf);
}

fn say(desk: &Desk, is_error: bool, text: &str, area: Rect, buf: &mut Buffer) {
    let role = if is_error { Role::Bad } else { Role::Title };
    let text = format!(" {}", super::text::clean(text));
    buf.set_stringn(area.x, area.y, text, usize::from(area.width), desk.theme.style(role));
}

/// The keys that work where the person is, most useful first.
fn hints(console: &Console) -> Vec<(String, String)> {
    let mut bindings: Vec<_> = keymap::ALL
        .iter()
        .filter(|binding| binding.rank > 0 && console.check(binding.action).is_ok())
        .collect();
    bindings.sort_by_key(|binding| std::cmp::Reverse(binding.rank));
    bindings.iter().filter_map(|binding| hint(&console.desk, binding.action)).collect()
}

fn hint(desk: &Desk, action: Action) -> Option<(String, String)> {
    let binding = keymap::binding(action)?;
    let key = desk.keys.of(action).next()?.to_owned();
    let more = if binding.asks { desk.theme.glyphs.more } else { "" };
    Some((key, format!("{}{more}", binding.hint)))
}

/// Hints from the left as far as they fit before the pinned ones.
fn render_hints(
    desk: &Desk,
    hints: &[(String, String)],
    pinned: &[(String, String)],
    area: Rect,
    buf: &mut Buffer,
) {
    let width = |(key, words): &(String, String)| key.width() + 1 + words.width() + 2;
    let reserved: usize = pinned.iter().map(width).sum();
    let mut left = usize::from(area.width).saturating_sub(1 + reserved);
    let mut is_over = false;
    let fitting = hints.iter().filter(|hint| {
        // The hints of an overlay are few and each counts; of a screen's the first that do not fit end them.
        let fits = width(hint) <= left && (!is_over || pinned.is_empty());
        is_over |= !fits;
        left = left.saturating_sub(if fits { width(hint) } else { 0 });
        fits
    });
    let mut spans = vec![Span::raw(" ")];
    for (key, words) in fitting.chain(pinned) {
        spans.push(Span::styled(key.clone(), desk.theme.style(Role::Key)));
        spans.push(Span::raw(format!(" {words}  ")));
    }
    Line::from(spans).render(area, buf);
}

/// The size class of the terminal.
pub fn class(desk: &Desk) -> Class {
    Class::of(desk.size)
}
