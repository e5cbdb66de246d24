//! How the metrics look: figures on top, MTTR over time, groups, where the time goes, the slowest.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{By, Known, MetricsScreen, Pane, chart};
use crate::domain::ids::incident_name;
use crate::metrics::{Metrics, Stages};
use crate::narrate::clean;
use crate::tui::chrome::class;
use crate::tui::desk::Desk;
use crate::tui::size::Class;
use crate::tui::text::{Align, fit, width, wrap};
use crate::tui::theme::Role;
use crate::tui::widgets::bar::bar;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane;
use crate::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};
use crate::tui::widgets::window::Window;

/// Rows of the figures and of the stages, with their borders.
const FIGURES: u16 = 4;
const STAGES: u16 = 7;
const SLOWEST: u16 = 16;

/// Where the panes are; hidden ones have no area.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    figures: Option<Rect>,
    chart: Option<Rect>,
    stages: Option<Rect>,
    groups: Option<Rect>,
    slowest: Option<Rect>,
}

impl MetricsScreen {
    pub(super) fn draw_all(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let Some(known) = self.known.as_ref().filter(|known| known.metrics.incidents > 0) else {
            return self.draw_nothing(desk, area, buf);
        };
        let places = self.places(desk, area);
        if let Some(area) = places.figures {
            self.draw_figures(known, desk, area, buf);
        }
        if let Some(area) = places.chart {
            self.draw_chart(&known.metrics, desk, area, buf);
        }
        if let Some(area) = places.stages {
            draw_stages(&known.metrics.stages, desk, area, buf);
        }
        if let Some(area) = places.groups {
            self.draw_groups(desk, area, buf);
        }
        if let Some(area) = places.slowest {
            self.draw_slowest(desk, area, buf);
        }
    }

    fn places(&self, desk: &Desk, body: Rect) -> Places {
        let class = class(desk);
        let figures = if class <= Class::Tiny { body.height.min(2) } else { FIGURES };
        let figures = figures.min(body.height);
        let top = Rect { height: figures, ..body };
        let rest = Rect { y: body.y + figures, height: body.height - figures, ..body };
        let mut places = Places { figures: Some(top), ..Places::default() };
        if class <= Class::Tiny || desk.zoomed {
            match self.pane {
                Pane::Groups => places.groups = Some(rest),
                Pane::Slowest => places.slowest = Some(rest),
                Pane::Chart => places.chart = Some(rest),
            }
            return places;
        }
        let left_columns = match class {
            Class::TooSmall | Class::Tiny | Class::Small => rest.width.saturating_sub(54),
            Class::Standard | Class::Wide => rest.width.saturating_sub(56),
        };
        let left = Rect { width: left_columns, ..rest };
        let right = Rect { x: rest.x + left_columns, width: rest.width - left_columns, ..rest };
        let (upper, stages) = bottom(if class == Class::Small { right } else { left }, STAGES);
        places.stages = Some(stages);
        let mut list = right;
        if class == Class::Small {
            places.chart = Some(left);
            list = upper;
        } else if class == Class::Wide {
            let (upper, below) = bottom(left, STAGES + SLOWEST);
            let (stages, slowest) = bottom(below, SLOWEST);
            (places.chart, places.stages) = (Some(upper), Some(stages));
            (places.slowest, places.groups) = (Some(slowest), Some(list));
            return places;
        } else {
            places.chart = Some(upper);
        }
        // Only one list fits: the one that is worked in.
        match self.pane {
            Pane::Slowest => places.slowest = Some(list),
            Pane::Groups | Pane::Chart => places.groups = Some(list),
        }
        places
    }

    fn draw_nothing(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let title = format!("Metrics  {}", self.range.word());
        let inner = pane::Pane::new(title).focused(true).draw(area, buf, &desk.theme);
        let sentence = match (&self.trouble, &self.known) {
            (Some(trouble), _) => {
                format!("The figures cannot be read: {trouble}. Coming back here asks again.")
            }
            (None, None) => "Reading the figures.".into(),
            (None, Some(_)) => {
                "No incident was opened in this time. ] looks further back; i breaks \
                                something in the lab, so that there is something to measure."
                    .into()
            }
        };
        let sentence = clean(&sentence);
        for (row, line) in rows(inner).zip(wrap(&sentence, usize::from(inner.width), 0)) {
            put(buf, row, 0, line, desk.theme.style(Role::Text));
        }
    }

    fn draw_figures(&self, known: &Known, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let metrics = &known.metrics;
        let inner = if area.height < FIGURES {
            area
        } else {
            let (range, by) = (known.range.word(), self.by.word());
            let title = format!("Metrics  {range}  n={}  group:{by}", metrics.incidents);
            let as_of = known.as_of.format("%H:%M:%S");
            let right = match &self.trouble {
                Some(trouble) => format!("as of {as_of}, {}", clean(trouble)),
                None if self.asked.is_some() => "reading".into(),
                None => format!("as of {as_of}"),
            };
            pane::Pane::new(title).right(right).draw(area, buf, theme)
        };
        let columns = usize::from(inner.width);
        for (row, text) in rows(inner).zip([times(metrics, columns), counts(metrics, columns)]) {
            put(buf, row, 0, &text, theme.style(Role::Text));
        }
    }

    fn draw_chart(&self, metrics: &Metrics, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let over_time = metrics.over_time.as_ref();
        let each = over_time.map_or("hour", |buckets| &*buckets.each);
        let highest = over_time
            .and_then(|buckets| buckets.mean_s.iter().flatten().copied().reduce(f64::max))
            .map_or_else(String::new, |highest| format!("to {}", short(Some(highest))));
        let pane = pane::Pane::new(format!("MTTR per {each}")).right(highest);
        let inner = pane.focused(self.pane == Pane::Chart).draw(area, buf, &desk.theme);
        if let Some(buckets) = over_time {
            chart::draw(buckets, inner, buf, &desk.theme);
        }
    }

    fn draw_groups(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let focused = self.pane == Pane::Groups;
        let title = format!("By {}", self.by.word());
        let inner = pane::Pane::new(title).focused(focused).draw(area, buf, theme);
        let groups = self.groups();
        if groups.is_empty() {
            let text =
                fit("Nothing has a name here; b groups by", inner.width.into(), Align::Left, "");
            put(buf, inner, 0, &text, theme.style(Role::Text));
            return;
        }
        let most = groups.iter().map(|group| group.incidents).max().unwrap_or(1).max(1);
        let columns = group_columns(self.by);
        let table = VTable { columns: &columns, sort: None, focused };
        let shown = shown(self.group_row(), groups.len(), inner);
        table.draw(
            inner,
            buf,
            theme,
            shown,
            |_| false,
            |row| {
                let Some(group) = groups.get(row) else { return Vec::new() };
                let role = if group.ok < group.total { Role::Warn } else { Role::Text };
                let share = group.incidents as f64 / most as f64;
                vec![
                    Cell::from(group.name.as_str()),
                    Cell::from(group.incidents.to_string()),
                    Cell::from(short(group.mttr.mean_s)),
                    Cell::from(short(group.mttr.p90_s)),
                    Cell::new(format!("{}/{}", group.ok, group.total), role),
                    Cell::new(bar(8, Some(share), theme.glyphs), Role::Verify),
                ]
            },
        );
    }

    fn draw_slowest(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let focused = self.pane == Pane::Slowest;
        let slowest = self.slowest();
        let title = match self.drilled_group() {
            Some(group) => format!("Slowest of {}  esc shows all", group.name),
            None => format!("Slowest {}  enter opens the incident", slowest.len()),
        };
        let inner = pane::Pane::new(title).focused(focused).draw(area, buf, theme);
        if slowest.is_empty() {
            let text = fit("None of them has ended yet.", inner.width.into(), Align::Left, "");
            put(buf, inner, 0, &text, theme.style(Role::Text));
            return;
        }
        let columns = slow_columns();
        let table = VTable { columns: &columns, sort: None, focused };
        let shown = shown(self.slow_row(), slowest.len(), inner);
        table.draw(
            inner,
            buf,
            theme,
            shown,
            |_| false,
            |row| {
                let Some(slow) = slowest.get(row) else { return Vec::new() };
                vec![
                    Cell::from(incident_name(slow.number)),
                    Cell::from(slow.cause.as_str()),
                    Cell::from(short(Some(slow.took_s))),
                    Cell::from(slow.why.as_deref().unwrap_or_default()),
                ]
            },
        );
    }
}

fn shown(selected: Option<usize>, len: usize, inner: Rect) -> Shown {
    let mut window = Window::default();
    window.keep_visible(selected, len, VTable::height(inner));
    Shown { len, offset: window.offset, selected }
}

/// The upper part of an area and its lowest rows.
fn bottom(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let upper = area.height - rows;
    (Rect { height: upper, ..area }, Rect { y: area.y + upper, height: rows, ..area })
}

fn draw_stages(stages: &Stages, desk: &Desk, area: Rect, buf: &mut Buffer) {
    const NAME: usize = 17;
    const FIGURE: usize = 7;
    let theme = &desk.theme;
    let title = format!("Where the time goes (mean of {})", stages.incidents);
    let inner = pane::Pane::new(title).draw(area, buf, theme);
    let all: f64 = stages.named().iter().filter_map(|(_, mean)| *mean).sum();
    let room = usize::from(inner.width).saturating_sub(NAME + FIGURE + 3).min(60);
    for (row, (name, mean)) in rows(inner).zip(stages.named()) {
        let name = fit(name, NAME, Align::Left, "");
        let figure = fit(&short(mean), FIGURE, Align::Right, "");
        let used = put(buf, row, 0, &format!("{name}{figure} "), theme.style(Role::Text));
        let share = mean.filter(|_| all > 0.0).map(|mean| mean / all);
        put(buf, row, used, &bar(room, share, theme.glyphs), theme.style(Role::Verify));
    }
}

// ---- text -----------------------------------------------------------------------------------------------------

/// A duration in few columns: `0.4s`, `17s`, `3m12s`, `1h05m`, `2d04h`, `123d`; `-` when nothing was measured.
pub(super) fn short(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) else { return "-".into() };
    if seconds < 9.95 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    #[expect(clippy::cast_possible_truncation, reason = "seconds between two times")]
    #[expect(clippy::cast_sign_loss, reason = "positive by the guard")]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        86_400..8_640_000 => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3_600),
        _ => format!("{}d", whole / 86_400),
    }
}

fn times(metrics: &Metrics, columns: usize) -> String {
    let (mttr, mttd, mtta) = (metrics.mttr, metrics.mttd, metrics.mtta);
    let mean = short(mttr.mean_s);
    let ended = format!("resolved {}/{}", metrics.resolved, metrics.incidents);
    if columns < 110 {
        let p90 = short(mttr.p90_s);
        let parts = [
            format!("MTTR {mean} (p90 {p90})"),
            format!("MTTD {}", short(mttd.mean_s)),
            format!("MTTA {}", short(mtta.mean_s)),
            ended,
        ];
        return joined(&parts, "  ", columns);
    }
    let ranks = [mttr.p50_s, mttr.p90_s, mttr.p99_s].map(short);
    let [p50, p90, p99] = ranks;
    let percent = (metrics.resolved * 100).checked_div(metrics.incidents).unwrap_or(0);
    let parts = [
        format!("MTTR mean {mean}  p50 {p50}  p90 {p90}  p99 {p99}"),
        format!("MTTD {}", short(mttd.mean_s)),
        format!("MTTA {} (p90 {})", short(mtta.mean_s), short(mtta.p90_s)),
        format!("{ended} ({percent}%)"),
    ];
    joined(&parts, if columns < 160 { "   " } else { "     " }, columns)
}

fn counts(metrics: &Metrics, columns: usize) -> String {
    let counts = metrics.counts;
    let by = if columns < 110 { "" } else { "by " };
    let gap = if columns < 110 { "  " } else { "   " };
    let parts = [
        format!("{by}agent {}", counts.by_agent),
        format!("{by}operator {}", counts.by_operator),
        format!("by itself {}", counts.by_itself),
        format!("failed {}", metrics.failed),
        format!("denied {}", counts.denied),
        format!("undone {}", counts.undone),
        format!("automatic {}", counts.automatic),
        format!("open {}", metrics.open),
        format!("expired {}", counts.expired),
    ];
    joined(&parts, gap, columns)
}

/// As many parts as fit whole.
fn joined(parts: &[String], gap: &str, columns: usize) -> String {
    let mut text = String::new();
    for part in parts {
        let gap = if text.is_empty() { "" } else { gap };
        if !text.is_empty() && width(&text) + gap.len() + width(part) > columns {
            break;
        }
        text.push_str(gap);
        text.push_str(part);
    }
    text
}

fn column(title: &'static str, width: u16, align: Align, priority: u8) -> Column<'static> {
    Column { title, width: Width::Columns(width), align, drop_below: 0, priority }
}

fn group_columns(by: By) -> [Column<'static>; 6] {
    let title = match by {
        By::Cause => "CAUSE",
        By::Target => "TARGET",
        By::Actor => "ACTOR",
    };
    [
        column(title, 15, Align::Left, Column::KEEP),
        column("N", 4, Align::Right, 5),
        column("MTTR", 7, Align::Right, Column::KEEP),
        column("P90", 7, Align::Right, 2),
        column("OK", 5, Align::Right, 4),
        column("", 8, Align::Left, 1),
    ]
}

fn slow_columns() -> [Column<'static>; 4] {
    [
        column("ID", 8, Align::Left, Column::KEEP),
        column("CAUSE", 16, Align::Left, 2),
        column("MTTR", 7, Align::Right, Column::KEEP),
        Column { width: Width::Rest, ..column("WHY", 0, Align::Left, 1) },
    ]
}
