//! What a test sees in a buffer.

use ratatui::buffer::Buffer;

use crate::tui::text::width;

/// The text of an area, row by row, as a person sees it.
pub(crate) fn seen(buf: &Buffer) -> String {
    let row = |y: u16| {
        let mut text = String::new();
        let mut x = buf.area.left();
        while x < buf.area.right() {
            let symbol = buf[(x, y)].symbol();
            text.push_str(symbol);
            x += u16::try_from(width(symbol)).unwrap().max(1);
        }
        text.trim_end().to_owned()
    };
    (buf.area.top()..buf.area.bottom()).map(row).collect::<Vec<_>>().join("\n")
}

/// Whether every character of a buffer stays inside it: no wide one hangs over the edge.
pub(crate) fn is_inside(buf: &Buffer) -> bool {
    buf.area.positions().all(|at| {
        let wide = u16::try_from(width(buf[at].symbol())).unwrap();
        at.x + wide <= buf.area.right()
    })
}
