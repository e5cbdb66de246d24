//! Hostile text, columns, and the ways to say a time.

use proptest::prelude::*;

use super::*;

#[test]
fn clean_text_has_nothing_invisible_and_keeps_the_rest() {
    for (given, shown) in [
        ("plain", "plain"),
        ("näh → 5 MB 漢字 🦀", "näh → 5 MB 漢字 🦀"),
        ("a\tb", "a    b"),
        ("\u{1b}]52;c;eA==\u{7}", "\\x1b]52;c;eA==\\x07"),
        ("\u{1b}c\r\n", "\\x1bc\\x0d\\x0a"),
        ("\u{9b}2J\u{7f}\0", "\\x9b2J\\x7f\\x00"),
        ("gnp\u{202e}.txt\u{200b}\u{feff}", "gnp\\u{202e}.txt\\u{200b}\\u{feff}"),
        ("\u{e0041}\u{2066}", "\\u{e0041}\\u{2066}"),
        ("e\u{301}", "e\u{301}"),
    ] {
        assert_eq!(clean(given), shown);
    }
    assert!(matches!(clean("näh"), Cow::Borrowed(_)), "clean text is not copied");
    let stacked =
        clean("e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}").into_owned();
    assert!(stacked.ends_with("\u{301}\\u{301}"), "{stacked}");
}

#[test]
fn ascii_text_has_nothing_else() {
    assert_eq!(ascii("0 → 88 …"), "0 -> 88 ...");
    assert_eq!(ascii("ä\u{1b}"), "\\u{e4}\\x1b");
}

#[test]
fn bytes_that_are_no_text_are_written_out() {
    assert_eq!(clean_bytes(b"ok \xff\xfe\x1b"), "ok \\xff\\xfe\\x1b");
}

#[test]
fn widths_are_columns() {
    for (text, columns) in [
        ("", 0),
        ("abc", 3),
        ("漢字", 4),
        ("e\u{301}", 1),
        ("🦀", 2),
        ("🇩🇪", 2),
        ("ｶﾞ", 2),
        ("\r\n", 0),
    ] {
        assert_eq!(width(text), columns, "{text:?}");
    }
    assert_eq!(width(&"\u{1100}".repeat(5)), 10, "one grapheme of five wide letters");
}

#[test]
fn a_cut_never_splits_what_is_drawn_as_one() {
    for (text, columns, shown) in [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字漢", 5, "漢字…"),
        ("漢字漢", 4, "漢…"),
        ("ab", 1, "…"),
        ("漢", 1, "…"),
        ("ab", 0, ""),
        ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
    ] {
        assert_eq!(cut(text, columns, "…"), shown, "{text:?} in {columns}");
    }
    assert_eq!(cut("abcdef", 2, "..."), "ab", "an ellipsis that does not fit is left out");
}

#[test]
fn a_field_is_exactly_as_wide_as_asked() {
    assert_eq!(fit("漢", 4, Align::Left, "…"), "漢  ");
    assert_eq!(fit("12", 4, Align::Right, "…"), "  12");
    assert_eq!(fit("漢字漢", 4, Align::Left, "…"), "漢… ");
}

#[test]
fn what_is_scrolled_out_leaves_no_half_character() {
    assert_eq!(skip("漢字", 0), "漢字");
    assert_eq!(skip("漢字", 1), " 字");
    assert_eq!(skip("漢字", 2), "字");
    assert_eq!(skip("ab", 9), "");
}

fn rows(text: &str, columns: usize, hanging: usize) -> Vec<&str> {
    wrap(text, columns, hanging).collect()
}

#[test]
fn lines_break_at_words() {
    assert_eq!(rows("", 5, 0), [""]);
    assert_eq!(rows("one two three", 7, 0), ["one two", "three"]);
    assert_eq!(rows("one two three", 8, 0), ["one two", "three"]);
    assert_eq!(rows("INFO   [read-only]", 20, 0), ["INFO   [read-only]"]);
    assert_eq!(rows("one  two   ", 3, 0), ["one", "two"]);
    assert_eq!(rows("a longestword b", 6, 0), ["a", "longes", "tword", "b"]);
    assert_eq!(rows("one two three", 7, 3), ["one two", "thre", "e"]);
    assert_eq!(rows("  indented text", 10, 0), ["  indented", "text"]);
    assert_eq!(rows("漢字漢字", 5, 0), ["漢字", "漢字"]);
    assert_eq!(rows("漢字", 1, 0), ["漢", "字"]);
    assert_eq!(rows("abc", 0, 0), [""; 0]);
    assert_eq!(rows("abc", 1, 9), ["a", "b", "c"]);
}

#[test]
fn ages_take_five_columns() {
    for (seconds, text) in [
        (-5, "00:00"),
        (134, "02:14"),
        (3_599, "59:59"),
        (11_100, "3h05m"),
        (43_500, "12h05"),
        (187_200, "2d04h"),
        (1_040_000, "12d00"),
        (10_627_200, " 123d"),
        (i64::MAX / 1_000, "9999d"),
    ] {
        assert_eq!(age(TimeDelta::seconds(seconds)), text);
    }
}

#[test]
fn clocks_read_as_drawn() {
    assert_eq!(ago(TimeDelta::seconds(42)), "00:00:42 ago");
    assert_eq!(ago(TimeDelta::seconds(187_200)), "2d04h ago");
    assert_eq!(countdown(TimeDelta::seconds(179)), "2:59");
    assert_eq!(countdown(TimeDelta::milliseconds(1)), "0:01");
    assert_eq!(countdown(TimeDelta::seconds(-3)), "0:00");
    assert_eq!(countdown(TimeDelta::seconds(3_723)), "1:02:03");
}

proptest! {
    #[test]
    fn units_are_the_whole_text(text in "\\PC*|.*") {
        prop_assert_eq!(units(&text).map(|(unit, _)| unit).collect::<String>(), text);
    }

    #[test]
    fn nothing_is_wider_than_asked(text in any::<String>(), columns in 0usize..40, hanging in 0usize..50) {
        let text = clean(&text);
        prop_assert!(width(&cut(&text, columns, "…")) <= columns);
        prop_assert_eq!(width(&fit(&text, columns, Align::Right, "~")), columns);
        for row in wrap(&text, columns, hanging) {
            prop_assert!(width(row) <= columns || units(row).count() == 1, "{:?}", row);
        }
    }

    #[test]
    fn wrapping_loses_nothing_but_spaces(text in "[ a-c漢🦀\u{301}]{0,60}", columns in 1usize..20) {
        let joined: String = wrap(&text, columns, 2).collect();
        let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
        prop_assert_eq!(letters(&joined), letters(&text));
    }

    #[test]
    fn clean_text_stays_as_it_is(text in any::<String>()) {
        let once = clean(&text).into_owned();
        prop_assert!(!once.chars().any(char::is_control));
        prop_assert_eq!(clean(&once), once.as_str());
    }

    #[test]
    fn ages_never_take_more(seconds in any::<i32>()) {
        prop_assert_eq!(age(TimeDelta::seconds(i64::from(seconds))).len(), 5);
    }
}
