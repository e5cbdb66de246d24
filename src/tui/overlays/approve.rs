//! The approval dialog: bound to one fingerprint, shows every command whole, and cannot be passed by accident.
//! Taking back what was done goes through the same dialog.

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::words::{Words, WordsFor};
use super::{Outcome, Overlay, Place, Then};
use crate::domain::effect::Command;
use crate::domain::execution::Seen;
use crate::domain::ids::IncidentId;
use crate::domain::incident::Incident;
use crate::domain::policy::Demand as Ruled;
use crate::domain::proposal::{Proposal, Risk};
use crate::domain::undo::undoable;
use crate::tui::confirm::{Confirm, Demand, Verdict, is_full_text};
use crate::tui::desk::{Desk, proposal_of};
use crate::tui::enabled::no_proposal;
use crate::tui::message::{Link, Msg, Now};
use crate::tui::overlays::plan::{Plan, Row};
use crate::tui::text::countdown;
use crate::tui::theme::Role;
use crate::tui::widgets::draw::put;
use crate::tui::widgets::pane::Pane;

const BUTTONS: &[&str] = &["Approve", "Reject…", "Full proposal", "Dry run", "Later"];
const REJECT: usize = 1;
const FULL: usize = 2;
const DRY_RUN: usize = 3;

const UNDO_BUTTONS: &[&str] = &["Undo", "Back"];

/// Rows of the border, the prompt and the buttons.
const AROUND: u16 = 4;

/// What is decided about.
#[derive(Debug)]
enum Of {
    Proposal(Box<Proposal>),
    /// Taking back, possible until then.
    Undo {
        until: DateTime<Utc>,
        target: String,
    },
}

/// The dialog. What it shows was captured when it opened and is never exchanged.
#[derive(Debug)]
pub struct Approve {
    incident: IncidentId,
    name: String,
    number: u64,
    of: Of,
    plan: Plan,
    confirm: Confirm,
    scroll: usize,
    opened: Now,
    /// The order that was sent.
    order: Option<u64>,
}

impl Approve {
    /// A dialog for the proposal of an incident that waits; `None` when none does.
    pub fn of(incident: &Incident, desk: &mut Desk) -> Option<Self> {
        let proposal = proposal_of(incident)?.clone();
        let demand = demand_of(&proposal, desk.settings.always_type);
        let target = proposal.target.as_str();
        let confirm = Confirm::new(demand, target, BUTTONS, desk.opener.take(), desk.now);
        Some(Self {
            incident: incident.id,
            name: incident.name(),
            number: incident.number,
            plan: Plan::of(&proposal, incident.diagnosis.as_ref()),
            of: Of::Proposal(Box::new(proposal)),
            confirm,
            scroll: 0,
            opened: desk.now,
            order: None,
        })
    }

    /// A dialog that takes back the last execution of an incident, or why that cannot be.
    pub fn undo(incident: &Incident, desk: &mut Desk) -> Result<Self, String> {
        let plan = undoable(incident, desk.now.at)?;
        let target = incident.target.as_str().to_owned();
        let commands = plan.lines.iter().map(|line| (line.clone(), String::new())).collect();
        let facts = vec![("undoes", plan.actions())];
        let opener = desk.opener.take();
        Ok(Self {
            incident: incident.id,
            name: incident.name(),
            number: incident.number,
            plan: Plan::plain(commands, facts),
            confirm: Confirm::new(Demand::Typed, target.as_str(), UNDO_BUTTONS, opener, desk.now),
            of: Of::Undo { until: plan.until, target },
            scroll: 0,
            opened: desk.now,
            order: None,
        })
    }

    /// The approval it is about; an undo has none.
    fn proposal(&self) -> Option<&Proposal> {
        match &self.of {
            Of::Proposal(proposal) => Some(proposal),
            Of::Undo { .. } => None,
        }
    }

    /// What confirming does, as a verb.
    fn verb(&self) -> &'static str {
        match self.of {
            Of::Proposal(_) => "approve",
            Of::Undo { .. } => "undo",
        }
    }

    fn rows_for_plan(area: Rect) -> usize {
        usize::from(area.height.saturating_sub(AROUND))
    }

    /// The plan's rows and how many of them are on the screen, in a dialog of this area.
    fn window(&self, area: Rect) -> (Vec<Row>, usize, usize) {
        let rows = self.plan.rows(usize::from(area.width.saturating_sub(2)));
        let room = Self::rows_for_plan(area);
        // A row of its own says that there is more.
        let room = if rows.len() > room { room.saturating_sub(1).max(1) } else { room };
        let first = self.scroll.min(rows.len().saturating_sub(room));
        (rows, first, room)
    }

    /// Where the dialog is drawn now; the console draws it just there.
    fn area(&self, desk: &Desk) -> Rect {
        let whole = Rect::new(0, 0, desk.size.0, desk.size.1);
        let body = crate::tui::chrome::parts(whole)[1];
        crate::tui::chrome::placed(self.place(desk, body), body).1
    }

    /// Notes which commands are on the screen; approving waits for all of them.
    fn look(&mut self, desk: &Desk) {
        let (rows, first, room) = self.window(self.area(desk));
        for row in rows.iter().skip(first).take(room) {
            self.plan.saw(row);
        }
        let (unseen, all) = self.plan.unseen(&rows);
        self.confirm.not_yet =
            (unseen > 0).then(|| format!("{unseen} of {all} command lines not seen yet, pgdn"));
    }

    fn scroll_by(&mut self, by: isize, desk: &Desk) {
        let (rows, first, room) = self.window(self.area(desk));
        let last = rows.len().saturating_sub(room);
        self.scroll = first.saturating_add_signed(by).min(last);
        self.look(desk);
    }

    fn other(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        let page = isize::try_from(self.window(self.area(desk)).2).unwrap_or(1);
        match key.code {
            KeyCode::PageDown => self.scroll_by(page, desk),
            KeyCode::PageUp => self.scroll_by(-page, desk),
            KeyCode::Down => self.scroll_by(1, desk),
            KeyCode::Up => self.scroll_by(-1, desk),
            KeyCode::Home => self.scroll_by(isize::MIN / 2, desk),
            KeyCode::End => self.scroll_by(isize::MAX / 2, desk),
            _ => {}
        }
        Outcome::stay()
    }

    fn full(&self) -> Outcome {
        let Some(proposal) = self.proposal() else { return Outcome::stay() };
        let title = format!("Proposal {} for {}", proposal.fingerprint.short(), self.name);
        let text = self.plan.full_text(proposal);
        Outcome::then(Then::Push(Box::new(super::text::Text::new(title, &text))))
    }

    fn send(&mut self, typed: Option<String>, desk: &mut Desk) -> Outcome {
        let (columns, rows) = desk.size;
        let open_ms = desk.now.ms.saturating_sub(self.opened.ms);
        let command = match &self.of {
            Of::Proposal(proposal) => Command::Approve {
                incident: self.number,
                fingerprint: proposal.fingerprint.0.clone(),
                typed,
                seen: Some(Seen { open_ms, columns, rows }),
            },
            Of::Undo { .. } => Command::Undo { incident: self.number, typed },
        };
        let (order, effect) = desk.order(command);
        self.order = Some(order);
        self.confirm.sent = true;
        self.confirm.note = Some("sent, waiting for the engine".into());
        Outcome::with(vec![effect])
    }

    fn button(&mut self, index: usize, desk: &mut Desk) -> Outcome {
        let Some(proposal) = self.proposal() else { return Outcome::close() };
        let (incident, fingerprint) = (self.number, proposal.fingerprint.0.clone());
        match index {
            REJECT | DRY_RUN if self.confirm.off.is_some() => Outcome::stay(),
            REJECT => {
                let title = format!("Reject {} of {}", proposal.fingerprint.short(), self.name);
                let of = WordsFor::Reject { incident, fingerprint };
                Outcome::then(Then::Replace(Box::new(Words::new(title, of, desk))))
            }
            DRY_RUN => {
                let (_, effect) = desk.order(Command::DryRun { incident, fingerprint });
                self.confirm.note = Some("dry run: the log tells what would run now".into());
                Outcome::with(vec![effect])
            }
            FULL => self.full(),
            _ => Outcome::close(),
        }
    }

    /// Why nothing can be approved any more, if so.
    fn change_underneath(&self, desk: &Desk) -> Option<String> {
        if desk.settings.read_only {
            return Some("read-only; nothing can be approved".into());
        }
        if let Link::Lost { reason, .. } = &desk.link {
            return Some(format!("engine lost: {reason}"));
        }
        let Some(incident) = desk.incident_now(self.incident) else {
            return Some(format!("{} is gone", self.name));
        };
        let Some(shown) = self.proposal() else {
            return undoable(incident, desk.now.at).err();
        };
        if desk.now.at >= shown.expires_at {
            let at = shown.expires_at.format("%H:%M:%S");
            return Some(format!("expired {at}, nothing ran"));
        }
        match proposal_of(incident) {
            Some(proposal) if proposal.fingerprint == shown.fingerprint => None,
            Some(other) => Some(format!(
                "superseded by {}; esc, then look at the new one",
                other.fingerprint.short()
            )),
            None => Some(no_proposal(incident)),
        }
    }

    fn title(&self, is_narrow: bool) -> String {
        let off = self.confirm.off.as_deref();
        match (&self.of, off) {
            (Of::Proposal(proposal), Some(reason)) => {
                format!("{} {}  {reason}", self.name, proposal.fingerprint.short())
            }
            (Of::Undo { .. }, Some(reason)) => format!("{}  {reason}", self.name),
            (Of::Proposal(proposal), None) => {
                let risk = proposal.risk.as_str().to_uppercase();
                let (print, target) = (proposal.fingerprint.short(), &proposal.target);
                if is_narrow {
                    return format!("APPROVE? {} {print} {risk}", self.name);
                }
                format!("APPROVE?  {}  {print}  risk {risk}  on {target}", self.name)
            }
            (Of::Undo { target, .. }, None) => {
                format!("UNDO?  what was done for {}  on {target}", self.name)
            }
        }
    }

    /// When it is too late: shown on the right of the title.
    fn time_left(&self, now: DateTime<Utc>, is_narrow: bool) -> String {
        let left = |until: DateTime<Utc>| countdown((until - now).max(TimeDelta::zero()));
        match &self.of {
            _ if self.confirm.off.is_some() => String::new(),
            Of::Proposal(proposal) if is_narrow => left(proposal.expires_at),
            Of::Undo { until, .. } if is_narrow => left(*until),
            Of::Proposal(proposal) => format!("expires in {}", left(proposal.expires_at)),
            Of::Undo { until, .. } => format!("possible for {}", left(*until)),
        }
    }

    fn prompt(&self, desk: &Desk) -> (String, Role) {
        let confirm = &self.confirm;
        if confirm.off.is_some() {
            return ("nothing can be confirmed here any more; esc closes".into(), Role::Bad);
        }
        if confirm.sent {
            return (confirm.note.clone().unwrap_or_default(), Role::Warn);
        }
        if let Some(seconds) = confirm.countdown(desk.now) {
            let text =
                format!("{} is typed; {} is possible in {seconds} s", confirm.name, self.verb());
            return (text, Role::Warn);
        }
        let note = confirm.note.as_ref().or(confirm.not_yet.as_ref());
        let note = note.map(|note| format!("   {note}")).unwrap_or_default();
        match confirm.demand {
            Demand::Yes => (format!("Press y to {}{note}", self.verb()), Role::Text),
            Demand::Typed | Demand::TypedAndWait if confirm.is_armed(desk.now) => {
                (format!("{} is typed; enter runs it{note}", confirm.name), Role::Warn)
            }
            Demand::Typed | Demand::TypedAndWait => {
                let caret = desk.theme.glyphs.caret;
                let (name, field) = (&confirm.name, &confirm.field);
                (format!("Type {name} to {}: {field}{caret}{note}", self.verb()), Role::Text)
            }
        }
    }
}

/// What has to be done to approve: by risk, raised by the policy or the person's own settings, never lowered.
fn demand_of(proposal: &Proposal, always_type: bool) -> Demand {
    let by_risk = match proposal.risk {
        Risk::Low => Demand::Yes,
        Risk::Medium => Demand::Typed,
        Risk::High | Risk::Destructive => Demand::TypedAndWait,
    };
    let by_policy = match proposal.ruling.demand {
        Ruled::Typed => Demand::Typed,
        Ruled::Automatic | Ruled::Approval | Ruled::Forbidden => Demand::Yes,
    };
    let by_settings = if always_type { Demand::Typed } else { Demand::Yes };
    by_risk.max(by_policy).max(by_settings)
}

impl Overlay for Approve {
    fn name(&self) -> &'static str {
        "approve"
    }

    fn place(&self, desk: &Desk, body: Rect) -> Place {
        if crate::tui::chrome::class(desk) <= crate::tui::size::Class::Tiny {
            return Place::Full;
        }
        let most = body.height * 3 / 5;
        let rows = self.plan.rows(usize::from(body.width.saturating_sub(2))).len();
        let wanted = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(AROUND);
        Place::Docked { rows: wanted.clamp(7, most.max(7)) }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let is_narrow = area.width < 72;
        let right = self.time_left(desk.now.at, is_narrow);
        let title = Span::styled(self.title(is_narrow), theme.style(Role::Warn));
        let pane = Pane::new(Line::from(title));
        let pane = if right.is_empty() { pane } else { pane.right(right) };
        let inner = pane.focused(true).draw(area, buf, theme);
        let (rows, first, room) = self.window(area);
        let mut lines = crate::tui::widgets::draw::rows(inner);
        for row in rows.iter().skip(first).take(room) {
            if let Some(line) = lines.next() {
                row.draw(line, buf, theme);
            }
        }
        let last_rows = inner.height.saturating_sub(2);
        let row_at = |y: u16| Rect { y: inner.y + y, height: 1, ..inner };
        if rows.len() > room && last_rows > 0 {
            let last = (first + room).min(rows.len());
            let more = if last < rows.len() { "   pgdn for more" } else { "" };
            let text = format!("lines {}-{last} of {}{more}", first + 1, rows.len());
            put(buf, row_at(last_rows - 1), 0, &text, theme.style(Role::Muted));
        }
        if inner.height >= 2 {
            let (prompt, role) = self.prompt(desk);
            put(buf, row_at(last_rows), 0, &prompt, theme.style(role));
            self.confirm.draw_buttons(row_at(last_rows + 1), buf, theme);
        }
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        self.look(desk);
        if let Some(reason) = self.change_underneath(desk) {
            self.confirm.switch_off(reason, desk.now);
        }
        if is_full_text(key) {
            return self.full();
        }
        match self.confirm.key(key, desk.now) {
            Verdict::Nothing => Outcome::stay(),
            Verdict::Other if key.kind == KeyEventKind::Release => Outcome::stay(),
            Verdict::Other => self.other(key, desk),
            Verdict::Confirmed { typed } => self.send(typed, desk),
            Verdict::Button(index) => self.button(index, desk),
        }
    }

    fn paste(&mut self, _text: &str, _desk: &mut Desk) -> Outcome {
        self.confirm.paste();
        Outcome::stay()
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Outcome {
        match msg {
            Msg::Replied { order, result } if Some(*order) == self.order => match result {
                Ok(_) => return Outcome::close(),
                Err(refused) => {
                    self.confirm.sent = false;
                    self.confirm.switch_off(refused.reason.clone(), desk.now);
                }
            },
            Msg::Unanswered { order } if Some(*order) == self.order => {
                let note = "may have been recorded, see Audit (3); it is not sent again";
                self.confirm.note = Some(note.into());
            }
            // What was sent is being decided: its own success is no change underneath.
            _ if self.confirm.sent => {}
            _ => {
                if let Some(reason) = self.change_underneath(desk) {
                    self.confirm.switch_off(reason, desk.now);
                }
            }
        }
        Outcome::stay()
    }

    fn unsettled(&mut self, desk: &Desk) {
        self.confirm.unsettle(desk.now);
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        let verb = self.verb();
        let confirm = match self.confirm.demand {
            Demand::Yes => ("y", verb.to_owned()),
            Demand::Typed | Demand::TypedAndWait => ("enter", format!("{verb} when it matches")),
        };
        let mut hints = vec![confirm, ("tab", "buttons".into())];
        if self.proposal().is_some() {
            hints.push(("ctrl-o", "full proposal".into()));
        }
        hints.push(("esc", "back".into()));
        hints.into_iter().map(|(key, words)| (key.to_owned(), words)).collect()
    }

    fn depends_on_time(&self) -> bool {
        true
    }
}

/// Opens the dialog of the incident in hand.
pub fn open(desk: &mut Desk) -> Result<Approve, String> {
    let id = desk.selected.ok_or("no incident is selected")?;
    let incident = desk.incident_now(id).cloned().ok_or("it is being read")?;
    Approve::of(&incident, desk).ok_or_else(|| no_proposal(&incident))
}
