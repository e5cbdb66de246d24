//! Every action a key or the palette can start: one table that feeds dispatcher, footer, help and palette.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a person can ask the console to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Up,
    Down,
    First,
    Last,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Left,
    Right,
    NextPane,
    PrevPane,
    /// The screen with this number, from 0.
    Screen(usize),
    Zoom,
    Previous,
    Open,
    Back,
    Quit,
    Cancel,
    Suspend,
    Redraw,
    Refresh,
    Help,
    Palette,
    Messages,
    Filter,
    NextMatch,
    PrevMatch,
    Sort,
    SortReverse,
    Mark,
    MarkRange,
    ClearMarks,
    Approve,
    NextWaiting,
    Reject,
    Undo,
    Inject,
    Clear,
    Stop,
    Kill,
    Verify,
    Retry,
    Note,
    Resolve,
    Report,
    Follow,
    Freeze,
    Wrap,
    Times,
    PrevPhase,
    NextPhase,
    CheckChain,
    Group,
    /// This action of the catalogue, for the row in hand.
    Remedy(&'static str),
    NextTarget,
    PrevTarget,
    Copy,
    CopyMarked,
    Export,
    Pager,
    Editor,
    SaveScreen,
    Mouse,
    Theme,
    Density,
    ReadOnly,
    ReadWrite,
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Everywhere,
    /// Where a list has the focus.
    Lists,
    /// Where a log has the focus.
    Logs,
    /// Lists and logs.
    Panes,
    /// On these screens, by title.
    On(&'static [&'static str]),
}

/// How help groups the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    Move,
    Find,
    Incident,
    Log,
    Console,
}

impl Group {
    pub const ALL: [Self; 5] = [Self::Move, Self::Incident, Self::Find, Self::Log, Self::Console];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Move => "Move",
            Self::Find => "Find",
            Self::Incident => "Incident",
            Self::Log => "Log and records",
            Self::Console => "Console",
        }
    }
}

/// One action with its keys and words.
#[derive(Debug)]
pub struct Binding {
    pub action: Action,
    /// The name in the palette and in the configuration.
    pub name: &'static str,
    pub keys: &'static [&'static str],
    pub scope: Scope,
    pub group: Group,
    /// A word or two for the footer and help.
    pub hint: &'static str,
    /// Whether it asks before anything happens; shown as `…`.
    pub asks: bool,
    /// How early the footer shows it; 0 never.
    pub rank: u8,
}

const OVERVIEW: &str = "Overview";
const INCIDENT: &str = "Incident";
const AUDIT: &str = "Audit";
const METRICS: &str = "Metrics";
const DATABASE: &str = "Database";

/// Where a proposal may be decided about.
const DECIDING: Scope = Scope::On(&[OVERVIEW, INCIDENT, DATABASE]);
const DECISIONS: Scope = Scope::On(&[OVERVIEW, INCIDENT]);

macro_rules! bindings {
    ($($action:expr, $name:literal, [$($key:literal)*], $scope:expr, $group:ident, $hint:literal, $asks:literal, $rank:literal;)*) => {
        &[$(Binding {
            action: $action, name: $name, keys: &[$($key),*], scope: $scope, group: Group::$group,
            hint: $hint, asks: !$asks.is_empty(), rank: $rank,
        }),*]
    };
}

/// Every action there is. Keys are written as people read them.
pub const ALL: &[Binding] = bindings![
    Action::Open, "open", ["enter"], Scope::Panes, Incident, "open", "", 90;
    Action::Approve, "approve", ["a"], DECIDING, Incident, "approve", "asks", 89;
    Action::Reject, "reject", ["r"], DECIDING, Incident, "reject", "asks", 88;
    Action::Inject, "inject", ["i"], Scope::Everywhere, Incident, "inject", "asks", 80;
    Action::Clear, "clear", ["C"], Scope::Everywhere, Incident, "clear", "", 79;
    Action::NextWaiting, "next-waiting", ["A"], Scope::Everywhere, Incident, "next that waits", "", 87;
    Action::Undo, "undo", ["u"], Scope::On(&[OVERVIEW, INCIDENT, AUDIT, DATABASE]), Incident, "undo", "asks", 60;
    Action::Stop, "stop", ["x"], DECISIONS, Incident, "stop after step", "asks", 62;
    Action::Kill, "kill", ["X"], DECISIONS, Incident, "kill step", "asks", 0;
    Action::Verify, "verify", ["R"], Scope::On(&[INCIDENT]), Incident, "verify again", "", 40;
    Action::Retry, "retry", ["!"], DECISIONS, Incident, "start over", "asks", 61;
    Action::Note, "note", ["c"], DECISIONS, Incident, "note", "asks", 20;
    Action::Resolve, "resolve", ["d"], DECISIONS, Incident, "declare over", "asks", 19;
    Action::Report, "report", ["P"], Scope::On(&[OVERVIEW, INCIDENT, AUDIT]), Incident, "report", "", 30;
    Action::Filter, "filter", ["/"], Scope::Panes, Find, "filter, search", "", 70;
    Action::NextMatch, "next-match", ["n"], Scope::Panes, Find, "next match", "", 0;
    Action::PrevMatch, "prev-match", ["N"], Scope::Panes, Find, "previous match", "", 0;
    Action::Sort, "sort", ["s"], Scope::Lists, Find, "sort", "", 50;
    Action::SortReverse, "sort-reverse", ["S"], Scope::Lists, Find, "reverse order", "", 0;
    Action::Palette, "palette", [":" "ctrl-p"], Scope::Everywhere, Find, "command", "", 49;
    Action::Mark, "mark", ["space"], Scope::Panes, Find, "mark", "", 15;
    Action::MarkRange, "mark-range", ["V"], Scope::Panes, Find, "mark range", "", 0;
    Action::ClearMarks, "clear-marks", ["ctrl-\\"], Scope::Panes, Find, "clear marks", "", 0;
    Action::Up, "up", ["k" "up"], Scope::Panes, Move, "row up", "", 0;
    Action::Down, "down", ["j" "down"], Scope::Panes, Move, "row down", "", 0;
    Action::First, "first", ["g" "home"], Scope::Panes, Move, "first", "", 0;
    Action::Last, "last", ["G" "end"], Scope::Panes, Move, "last", "", 0;
    Action::HalfUp, "half-up", ["ctrl-u"], Scope::Panes, Move, "half page up", "", 0;
    Action::HalfDown, "half-down", ["ctrl-d"], Scope::Panes, Move, "half page down", "", 0;
    Action::PageUp, "page-up", ["pgup"], Scope::Panes, Move, "page up", "", 0;
    Action::PageDown, "page-down", ["pgdn"], Scope::Panes, Move, "page down", "", 0;
    Action::Left, "left", ["h" "left"], Scope::Panes, Move, "column, scroll", "", 0;
    Action::Right, "right", ["l" "right"], Scope::Panes, Move, "column, scroll", "", 0;
    Action::NextPane, "next-pane", ["tab"], Scope::Everywhere, Move, "next pane", "", 10;
    Action::PrevPane, "prev-pane", ["shift-tab"], Scope::Everywhere, Move, "previous pane", "", 0;
    Action::Screen(0), "overview", ["1"], Scope::Everywhere, Move, "Overview", "", 0;
    Action::Screen(1), "incident", ["2"], Scope::Everywhere, Move, "Incident", "", 0;
    Action::Screen(2), "audit", ["3"], Scope::Everywhere, Move, "Audit", "", 0;
    Action::Screen(3), "metrics", ["4"], Scope::Everywhere, Move, "Metrics", "", 0;
    Action::Screen(4), "database", ["5"], Scope::Everywhere, Move, "Database", "", 0;
    Action::Previous, "previous", ["-"], Scope::Everywhere, Move, "previous view", "", 0;
    Action::Zoom, "zoom", ["z"], Scope::Everywhere, Move, "zoom this pane", "", 9;
    Action::Back, "back", ["esc"], Scope::Everywhere, Move, "back, clear, close", "", 0;
    Action::Follow, "follow", ["f"], Scope::Logs, Log, "follow", "", 75;
    Action::PrevPhase, "prev-phase", ["["], Scope::Everywhere, Log, "phase, time range", "", 0;
    Action::NextPhase, "next-phase", ["]"], Scope::Everywhere, Log, "phase, time range", "", 35;
    Action::Wrap, "wrap", ["w"], Scope::Logs, Log, "wrap", "", 34;
    Action::Times, "times", ["t"], Scope::Logs, Log, "clock, age, delta", "", 0;
    Action::CheckChain, "check-chain", ["v"], Scope::On(&[AUDIT]), Log, "verify chain", "", 76;
    Action::Remedy("cancel_query"), "cancel-query", ["c"], Scope::On(&[DATABASE]), Incident, "cancel query", "asks", 58;
    Action::Remedy("terminate_query"), "terminate-query", ["K"], Scope::On(&[DATABASE]), Incident, "end session", "asks", 57;
    Action::Remedy("kill_idle_transactions"), "end-transaction", ["E"], Scope::On(&[DATABASE]), Incident, "end transaction", "asks", 56;
    Action::Remedy("end_prepared"), "end-prepared", ["W"], Scope::On(&[DATABASE]), Incident, "roll prepared back", "asks", 55;
    Action::Remedy("vacuum_table"), "vacuum-table", ["v"], Scope::On(&[DATABASE]), Incident, "vacuum", "asks", 54;
    Action::Remedy("analyze_table"), "analyze-table", ["U"], Scope::On(&[DATABASE]), Incident, "analyze", "asks", 53;
    Action::Remedy("reindex_index"), "reindex-index", ["x"], Scope::On(&[DATABASE]), Incident, "rebuild index", "asks", 52;
    Action::Remedy("create_index"), "create-index", ["b"], Scope::On(&[DATABASE]), Incident, "build index", "asks", 51;
    Action::Remedy("drop_index"), "drop-index", ["d"], Scope::On(&[DATABASE]), Incident, "drop index", "asks", 48;
    Action::NextTarget, "next-target", ["}"], Scope::On(&[DATABASE]), Move, "next target", "", 36;
    Action::PrevTarget, "prev-target", ["{"], Scope::On(&[DATABASE]), Move, "previous target", "", 0;
    Action::Group, "group", ["b"], Scope::On(&[METRICS]), Log, "group by", "", 77;
    Action::Copy, "copy", ["y"], Scope::Panes, Log, "copy", "", 33;
    Action::CopyMarked, "copy-marked", ["Y"], Scope::Panes, Log, "copy marked", "", 0;
    Action::Export, "export", ["e"], Scope::Everywhere, Log, "export", "", 32;
    Action::Pager, "pager", ["o"], Scope::Everywhere, Log, "pager", "", 31;
    Action::Editor, "editor", ["O"], Scope::Everywhere, Log, "editor", "", 0;
    Action::SaveScreen, "save", ["ctrl-s"], Scope::Everywhere, Console, "screen to file", "", 5;
    Action::Freeze, "freeze", ["p"], Scope::Everywhere, Console, "freeze", "", 6;
    Action::Refresh, "refresh", ["ctrl-r" "F5"], Scope::Everywhere, Console, "probe now", "", 0;
    Action::Redraw, "redraw", ["ctrl-l"], Scope::Everywhere, Console, "redraw", "", 0;
    Action::Mouse, "mouse", ["m"], Scope::Everywhere, Console, "mouse on, off", "", 0;
    Action::Theme, "theme", ["T"], Scope::Everywhere, Console, "next theme", "", 0;
    Action::Density, "density", ["D"], Scope::Everywhere, Console, "density", "", 0;
    Action::Messages, "messages", [], Scope::Everywhere, Console, "past messages", "", 0;
    Action::ReadOnly, "readonly", [], Scope::Everywhere, Console, "only watch from now on", "", 0;
    Action::ReadWrite, "write", [], Scope::Everywhere, Console, "allow changes again", "asks", 0;
    Action::Suspend, "suspend", ["ctrl-z"], Scope::Everywhere, Console, "suspend", "", 0;
    Action::Cancel, "cancel", ["ctrl-c"], Scope::Everywhere, Console, "cancel; twice quits", "", 0;
    Action::Help, "help", ["?" "F1"], Scope::Everywhere, Console, "help", "", 0;
    Action::Quit, "quit", ["q"], Scope::Everywhere, Console, "quit", "", 0;
];

/// An action's row of the table.
pub fn binding(action: Action) -> Option<&'static Binding> {
    ALL.iter().find(|binding| binding.action == action)
}

/// What has the focus, for the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    #[default]
    Neither,
    List,
    Log,
}

impl Scope {
    /// Whether it covers a screen whose focus is on `focus`.
    pub fn covers(self, screen: &str, focus: Focus) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Lists => focus == Focus::List,
            Self::Logs => focus == Focus::Log,
            Self::Panes => focus != Focus::Neither,
            Self::On(screens) => screens.contains(&screen),
        }
    }

    /// Whether there is a place that both cover.
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::On(some), Self::On(others)) => some.iter().any(|one| others.contains(one)),
            (Self::Lists, Self::Logs) | (Self::Logs, Self::Lists) => false,
            _ => true,
        }
    }
}

/// The name of a key event as the table writes it: `ctrl-d`, `pgdn`, `G`.
pub fn name_of(key: &KeyEvent) -> Option<String> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
        return None;
    }
    let name = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        // Many terminals send ctrl-\ as ctrl-4.
        KeyCode::Char('4') if ctrl => "\\".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "shift-tab".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::PageUp => "pgup".into(),
        KeyCode::PageDown => "pgdn".into(),
        KeyCode::Backspace => "backspace".into(),
        KeyCode::Delete => "delete".into(),
        KeyCode::F(n) => format!("F{n}"),
        _ => return None,
    };
    Some(if ctrl { format!("ctrl-{name}") } else { name })
}

/// The key event that a name stands for; [`name_of`] gives the name back.
pub fn key_of(name: &str) -> Option<KeyEvent> {
    let (ctrl, bare) = match name.strip_prefix("ctrl-") {
        Some(bare) if !bare.is_empty() => (true, bare),
        _ => (false, name),
    };
    let code = match bare {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "shift-tab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        _ => one_character(bare).map(KeyCode::Char).or_else(|| {
            bare.strip_prefix('F').and_then(|number| number.parse().ok()).map(KeyCode::F)
        })?,
    };
    let modifiers = if ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
    Some(KeyEvent::new(code, modifiers))
}

fn one_character(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// The action that has this name in the palette and in the configuration.
pub fn named(name: &str) -> Option<&'static Binding> {
    ALL.iter().find(|binding| binding.name == name)
}

/// The keys in force: the table's, unless the configuration says otherwise.
#[derive(Clone, Debug)]
pub struct Keys(Vec<(String, Action)>);

impl Default for Keys {
    fn default() -> Self {
        let pairs = ALL
            .iter()
            .flat_map(|binding| binding.keys.iter().map(|key| ((*key).to_owned(), binding.action)));
        Self(pairs.collect())
    }
}

impl Keys {
    /// Gives an action other keys; none at all switches its keys off.
    pub fn rebind(&mut self, action: Action, keys: &[String]) {
        self.0.retain(|(_, known)| *known != action);
        self.0.extend(keys.iter().map(|key| (key.clone(), action)));
    }

    /// What a key starts where the focus is; elsewhere it names the action that works in other places.
    pub fn action(&self, key: &str, screen: &str, focus: Focus) -> Option<Action> {
        let all = || self.0.iter().filter(|(known, _)| known == key).map(|(_, action)| *action);
        let covers = |action: &Action| {
            binding(*action).is_some_and(|binding| binding.scope.covers(screen, focus))
        };
        all().find(covers)
    }

    /// The keys of an action, as people read them.
    pub fn of(&self, action: Action) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, known)| *known == action).map(|(key, _)| key.as_str())
    }

    /// Every key with its action.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Action)> {
        self.0.iter().map(|(key, action)| (key.as_str(), *action))
    }
}
