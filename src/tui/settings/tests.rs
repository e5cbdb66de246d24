//! What a person may write, what is refused with which words, and that what is printed can be taken as it is.

use std::fmt::Write as _;

use super::*;
use crate::tui::keymap::{self, Action};
use crate::tui::theme::Role;

const PATH: &str = "tui.toml";

fn good(text: &str) -> Preferences {
    parse(Path::new(PATH), text).unwrap()
}

fn bad(text: &str) -> String {
    parse(Path::new(PATH), text).unwrap_err().to_string()
}

fn keys_of(preferences: &Preferences, action: Action) -> Vec<String> {
    preferences.keys.of(action).map(str::to_owned).collect()
}

/// Everything in it as text, to compare.
fn all(preferences: &Preferences) -> String {
    format!("{preferences:?}")
}

#[test]
fn what_is_not_written_is_as_usual() {
    let nothing = good("");
    assert_eq!(all(&nothing), all(&Preferences::default()));
    let little = good("[ui]\nfps = 10\n");
    assert_eq!((little.fps, little.bell, little.palette), (10, true, None));
}

#[test]
fn what_is_written_is_in_force() {
    let text = r##"
[keys]
approve = ["ctrl-a", "F2"]
stop = "disabled"
messages = ["M"]

[theme]
name = "light"
ok = "green"
bad = "#ff5555 bold"
title = "underline"

[ui]
ascii = false
mouse = true
bell = false
density = "compact"
fps = 60

[safety]
read_only = true
typed_confirm = true
"##;
    let chosen = good(text);
    assert_eq!(keys_of(&chosen, Action::Approve), ["ctrl-a", "F2"]);
    assert!(keys_of(&chosen, Action::Stop).is_empty());
    assert_eq!(chosen.keys.action("M", "Overview", keymap::Focus::Neither), Some(Action::Messages));
    assert_eq!(chosen.keys.action("a", "Overview", keymap::Focus::List), None);
    assert_eq!(chosen.palette, Some(Palette::Light));
    let bold_pink = style("#ff5555 bold").unwrap();
    assert_eq!(chosen.own.get(Role::Bad), Some(bold_pink));
    assert_eq!(chosen.own.get(Role::Warn), None);
    assert_eq!(chosen.ascii, Some(false));
    assert!(chosen.mouse && !chosen.bell && chosen.compact);
    assert!(chosen.read_only && chosen.typed_confirm);
    assert_eq!(chosen.fps, 60);
    assert_eq!(all(&good(&print(&chosen))), all(&chosen), "what is printed can be taken as it is");
}

#[test]
fn the_usual_configuration_is_printed_whole_and_can_be_taken_as_it_is() {
    let text = print(&Preferences::default());
    assert_eq!(all(&good(&text)), all(&Preferences::default()));
    for binding in keymap::ALL {
        assert!(text.contains(&format!("\n{} = ", binding.name)), "{}", binding.name);
    }
    insta::assert_snapshot!("print_config", text);
}

#[test]
fn every_mistake_is_told_with_file_line_key_and_remedy() {
    let cases = [
        ("no TOML", "[keys\n"),
        ("unknown table", "[key]\n"),
        ("unknown table, nothing like it", "\n[zebra]\n"),
        ("a key outside of tables", "fps = 30\n"),
        ("no table", "ui = 3\n"),
        ("unknown action", "[keys]\naprove = [\"a\"]\n"),
        ("unknown action, nothing like it", "[keys]\nxylophone = [\"a\"]\n"),
        ("a key without brackets", "[keys]\napprove = \"a\"\n"),
        ("no key", "[keys]\napprove = [\n  \"a\",\n  3,\n]\n"),
        ("two actions on one key", "[keys]\nstop = [\"s\"]\n"),
        ("two choices on one key", "[keys]\nstop = [\"0\"]\nkill = [\"0\"]\n"),
        ("a key that is always read first", "[keys]\nstop = [\"ctrl-c\"]\n"),
        ("a fixed key taken away", "[keys]\nback = [\"backspace\"]\ncancel = \"disabled\"\n"),
        ("alt", "[keys]\nstop = [\"alt-x\"]\n"),
        ("shift and a letter", "[keys]\nstop = [\"shift-x\"]\n"),
        ("shift and more", "[keys]\nstop = [\"shift-up\"]\n"),
        ("ctrl and a capital", "[keys]\nstop = [\"ctrl-X\"]\n"),
        ("ctrl and a digit", "[keys]\nstop = [\"ctrl-1\"]\n"),
        (
            "ctrl that is another key",
            "[keys]\nstop = [\"ctrl-i\", \"ctrl-m\", \"ctrl-h\", \"ctrl-[\"]\n",
        ),
        (
            "a key that is no key",
            "[keys]\nstop = [\"gg\", \"Escape\", \"PgUp\", \" \", \"\", \"\\u0007\"]\n",
        ),
        ("far function keys", "[keys]\nstop = [\"F13\"]\n"),
        ("unknown theme", "[theme]\nname = \"solarized\"\n"),
        ("theme of another type", "[theme]\nname = 1\n"),
        ("unknown role", "[theme]\nbat = \"red\"\n"),
        ("unknown colour", "[theme]\nbad = \"gren\"\nok = \"#12345\"\nwarn = \"mauve\"\n"),
        ("two colours", "[theme]\nbad = \"red green\"\n"),
        ("no colour", "[theme]\nbad = \"\"\nok = 7\n"),
        ("fps out of range", "[ui]\nfps = 0\n"),
        ("fps with a fraction", "[ui]\nfps = 29.97\n"),
        ("fps far out of range", "[ui]\n\n\nfps = 99999999999999999999\n"),
        ("no boolean", "[ui]\nmouse = \"yes\"\nascii = 1\n"),
        ("unknown density", "[ui]\ndensity = \"tight\"\n"),
        ("unknown ui key", "[ui]\nbel = true\n"),
        ("unknown safety key", "[safety]\nreadonly = true\n"),
        ("safety of another type", "[safety]\ntyped_confirm = [1]\n"),
        (
            "several at once, by line",
            "[ui]\nfps = 0\n[keys]\nstop = [\"alt-x\"]\n[theme]\nname = \"x\"\n",
        ),
    ];
    let mut said = String::new();
    for (title, text) in cases {
        let words = bad(text);
        let lines = words.lines().count();
        assert!(words.lines().all(|line| line.starts_with("tui.toml:")), "{title}: {words}");
        assert!(!words.contains("tui.toml:0"), "{title}: {words}");
        assert!(lines >= 1);
        let _ = writeln!(said, "{title}\n{words}\n");
    }
    insta::assert_snapshot!("mistakes", said);
}

#[test]
fn exact_words_of_the_mistakes_people_make() {
    let clash = "tui.toml:2: `keys.stop`: `s` is a key of `sort` too; give one of them another key";
    assert_eq!(bad("[keys]\nstop = [\"s\"]\n"), clash);
    assert_eq!(
        bad("[keys]\naprove = [\"a\"]\n"),
        "tui.toml:2: unknown key `keys.aprove`; did you mean `approve`?"
    );
}

#[test]
fn an_action_may_take_the_key_of_one_that_gave_it_up() {
    let chosen = good("[keys]\nstop = [\"s\"]\nsort = \"disabled\"\n");
    assert_eq!(chosen.keys.action("s", "Overview", keymap::Focus::List), Some(Action::Stop));
}

#[test]
fn two_actions_may_share_a_key_where_they_never_meet() {
    let chosen = good("[keys]\nsort = [\"0\"]\nwrap = [\"0\"]\n");
    assert_eq!(chosen.keys.action("0", "Overview", keymap::Focus::List), Some(Action::Sort));
    assert_eq!(chosen.keys.action("0", "Overview", keymap::Focus::Log), Some(Action::Wrap));
}

#[test]
fn the_table_itself_passes_every_check() {
    assert_eq!(keys::clashes(&Keys::default()), []);
    for (key, action) in Keys::default().iter() {
        assert_eq!(keys::unsendable(key), None, "{action:?}");
        let event = keymap::key_of(key).unwrap();
        assert_eq!(keymap::name_of(&event).as_deref(), Some(key));
    }
    for (action, key, _) in keys::FIXED {
        assert!(Keys::default().of(action).any(|known| known == key), "{action:?}");
    }
}

#[test]
fn looks_are_read_back_as_they_are_written() {
    for words in ["green", "#00aa55 bold", "default dim", "bold underline reverse", "dark-gray"] {
        assert_eq!(style_text(style(words).unwrap()), words);
    }
}

#[test]
fn own_looks_show_only_where_there_are_colours() {
    use crate::tui::theme::Theme;
    let mut theme = Theme::new(Palette::Dark, false);
    theme.own.set(Role::Ok, style("#00aa55").unwrap());
    assert_eq!(theme.style(Role::Ok), style("#00aa55").unwrap());
    theme.palette = Palette::Mono;
    assert_eq!(theme.style(Role::Ok).fg, None);
}

#[test]
fn no_file_is_no_mistake_and_an_unreadable_one_is() {
    let temp = tempfile::tempdir().unwrap();
    assert!(load(&temp.path().join("tui.toml")).unwrap().is_none());
    let error = load(temp.path()).unwrap_err().to_string();
    assert!(error.ends_with("make the file readable text"), "{error}");
}
