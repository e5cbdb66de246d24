//! A statement's text for other eyes: literals masked for the records, blanks and comments evened out for keys.

use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind, SyntaxToken};

use super::facts::is_trivia;
use super::{is_parsed, on_its_own_stack};

const LITERALS: [SyntaxKind; 10] = [
    SyntaxKind::BIT_STRING,
    SyntaxKind::BYTE_STRING,
    SyntaxKind::DOLLAR_QUOTED_STRING,
    SyntaxKind::ESC_STRING,
    SyntaxKind::INT_NUMBER,
    SyntaxKind::NATIONAL_STRING,
    SyntaxKind::NUMERIC_NUMBER,
    SyntaxKind::STRING,
    SyntaxKind::UNICODE_ESC_STRING,
    SyntaxKind::ERROR,
];

/// The statement without the values in it and without its comments, for records and logs.
pub fn redacted(text: &str) -> String {
    rewritten(text, |token| {
        if LITERALS.contains(&token.kind()) { "?".into() } else { token.text().to_owned() }
    })
    // Nothing of what cannot be taken apart is shown.
    .unwrap_or_else(|| format!("a statement of {} characters", text.chars().count()))
}

/// The statement with its blanks and comments evened out: two that differ only in those are one.
pub fn normalised(text: &str) -> String {
    rewritten(text, |token| token.text().to_owned()).unwrap_or_else(|| text.to_owned())
}

fn rewritten(text: &str, show: impl Fn(&SyntaxToken) -> String + Sync) -> Option<String> {
    if !is_parsed(text) {
        return None;
    }
    on_its_own_stack(text, |text| {
        let root = SourceFile::parse(text).syntax_node();
        let mut out = String::new();
        let mut apart = false;
        for token in root.descendants_with_tokens().filter_map(SyntaxElement::into_token) {
            if is_trivia(token.kind()) {
                apart = true;
                continue;
            }
            if apart && !out.is_empty() {
                out.push(' ');
            }
            apart = false;
            out.push_str(&show(&token));
        }
        out
    })
}
