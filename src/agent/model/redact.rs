//! What must not leave this machine is masked: passwords and tokens always, query literals unless all is shared.

use std::sync::LazyLock;

use regex::Regex;

use crate::config::Config;
use crate::config::agent::Share;
use crate::config::secret::Secret;
use crate::config::url;

const MASK: &str = "***";
/// A secret as short as this cannot be told from an ordinary word.
const SHORTEST: usize = 4;

/// Masks what must not leave.
#[derive(Clone)]
pub struct Redactor {
    /// Longest first, so that a secret that holds another goes as a whole.
    secrets: Vec<String>,
    share: Share,
}

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        // scheme://user:password@host
        (r"([A-Za-z][A-Za-z0-9+.\-]*://[^\s/@:]*):[^\s@/]+@", "$1:***@"),
        // password=x, "token": "x", api_key: x
        (
            r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_\-]?key|access[_\-]?key|authorization|credential)s?["']?\s*[:=]\s*(?:bearer\s+)?)("[^"]*"|'[^']*'|[^\s,;&)}\]]+)"#,
            "$1***",
        ),
        // PASSWORD 'x', requirepass x, masterauth x
        (r"(?i)\b(password)\s+('[^']*'?|E'[^']*'?)", "$1 ***"),
        (r#"(?i)\b(requirepass|masterauth|masteruser|primaryauth)("?\s+"?)[^\s"]+"#, "$1$2***"),
        (r"\b(AUTH)\s+\S+(?:\s+\S+)?", "$1 ***"),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}", "$1 ***"),
        (r"\b(?:sk|pk|rk|gsk|ghp|gho|ghs|glpat|xox[abprs])[\-_][A-Za-z0-9_\-]{12,}", MASK),
        (r"\b(?:AKIA|ASIA|AIza)[A-Za-z0-9_\-]{12,}", MASK),
        (r"\beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*", MASK),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", MASK),
        // Hashes of passwords: Redis ACL, SCRAM, md5.
        (r"#[0-9a-f]{64}\b", "#***"),
        (r"\bSCRAM-SHA-256\$\S+", MASK),
        (r"\bmd5[0-9a-f]{32}\b", MASK),
        // Plain passwords in an ACL rule.
        (r"(^|\s)([><])[^\s]+", "$1$2***"),
    ];
    compiled(&patterns)
});

static LITERALS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"(?s)\$([A-Za-z_]*)\$.*?(?:\$[A-Za-z_]*\$|$)", "$$?$$"),
        // Between letters it is an apostrophe.
        (r"(?s)(^|\W)(?:[EeBbXxNn]|U&)?'(?:[^'\\]|''|\\.)*(?:'|$)", "$1'?'"),
        (r"(Key \([^)]*\)=)\(.*?\)( |$)", "$1(?)$2"),
        (r"(Failing row contains )\(.*\)", "$1(?)"),
    ];
    compiled(&patterns)
});

static SQL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let shapes = r"(?i)\b(select\s+\S|insert\s+into|update\s+\S+\s+set|delete\s+from|values\s*\(|where\s+\S+\s*[=<>])";
    Regex::new(shapes).ok()
});
static NUMBERS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"([\s=(,<>+\-*/]|^)\d+(?:\.\d+)?\b").ok());

fn compiled(patterns: &[(&'static str, &'static str)]) -> Vec<(Regex, &'static str)> {
    let all = patterns.iter().map(|(pattern, mask)| (Regex::new(pattern), *mask));
    all.map(|(regex, mask)| (regex.expect("the pattern is tested"), mask)).collect()
}

impl Redactor {
    /// Masks these wherever they occur, besides what looks like a secret.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>, share: Share) -> Self {
        let revealed = secrets.into_iter().map(|secret| secret.reveal().to_owned());
        let mut secrets: Vec<String> = revealed.filter(|text| text.len() >= SHORTEST).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets, share }
    }

    /// With every secret the configuration and the lab have.
    pub fn of(config: &Config) -> Self {
        let targets = config.targets.iter().filter_map(|target| target.password.clone());
        let store = config.store_url.as_ref().and_then(|at| url::parse(at.reveal()).ok()?.password);
        let lab = crate::lab::passwords().into_iter().map(Secret::new);
        let all: Vec<Secret> =
            targets.chain(store).chain(config.agent.key.clone()).chain(lab).collect();
        Self::new(&all, config.agent.share)
    }

    /// How much may leave.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The text without what must not leave.
    pub fn text(&self, text: &str) -> String {
        let mut text = self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret) { text.replace(secret, MASK) } else { text }
        });
        for (pattern, mask) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *mask).into_owned();
        }
        if self.share == Share::Full { text } else { without_literals(&text) }
    }
}

fn without_literals(text: &str) -> String {
    let is_sql = SQL.as_ref().is_some_and(|sql| sql.is_match(text));
    let mut text = text.to_owned();
    for (pattern, mask) in LITERALS.iter() {
        text = pattern.replace_all(&text, *mask).into_owned();
    }
    match NUMBERS.as_ref().filter(|_| is_sql) {
        Some(numbers) => numbers.replace_all(&text, "$1?").into_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(share: Share, text: &str) -> String {
        let secrets = [Secret::new("hunter22"), Secret::new("hunter22-long"), Secret::new("abc")];
        Redactor::new(&secrets, share).text(text)
    }

    #[test]
    fn secrets_never_leave_whatever_is_shared() {
        for (given, left) in [
            ("login with hunter22-long or hunter22", "login with *** or ***"),
            ("postgres://app:s3cret@db:5432/x", "postgres://app:***@db:5432/x"),
            ("redis://:s3cret@cache", "redis://:***@cache"),
            ("host=db password=s3cret user=app", "host=db password=*** user=app"),
            (r#"{"api_key": "k-1", "n": 2}"#, r#"{"api_key": ***, "n": 2}"#),
            ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
            ("CONFIG SET requirepass s3cret", "CONFIG SET requirepass ***"),
            ("AUTH app s3cret", "AUTH ***"),
            ("key sk-proj-abcdefghijklmnop in a log", "key *** in a log"),
            (
                "user app on #e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ~*",
                "user app on #*** ~*",
            ),
            ("user app on >s3cret ~*", "user app on >*** ~*"),
            ("eyJhbGciOi.eyJzdWIiOi.sig", "***"),
            ("the password is wrong", "the password is wrong"),
            ("an abc stays", "an abc stays"),
        ] {
            assert_eq!(redacted(Share::Full, given), left);
        }
        assert_eq!(
            redacted(Share::Full, "ALTER ROLE app PASSWORD 's3cret'"),
            "ALTER ROLE app PASSWORD ***"
        );
    }

    #[test]
    fn literals_leave_only_where_all_is_shared() {
        for (given, left) in [
            (
                "select * from t where mail = 'bob@example.org' and n = 4711",
                "select * from t where mail = '?' and n = ?",
            ),
            (
                "STATEMENT:  insert into t values ('a''b', E'c\\'d', $x$e$x$)",
                "STATEMENT:  insert into t values ('?', '?', $?$)",
            ),
            ("select 'cut off in the mid", "select '?'"),
            (
                "DETAIL:  Key (mail)=(bob@example.org) already exists.",
                "DETAIL:  Key (mail)=(?) already exists.",
            ),
            ("DETAIL:  Failing row contains (1, bob, (x)).", "DETAIL:  Failing row contains (?)."),
            ("checkpoint complete: wrote 44 buffers", "checkpoint complete: wrote 44 buffers"),
            ("the server's words, the model's own", "the server's words, the model's own"),
        ] {
            assert_eq!(redacted(Share::Evidence, given), left);
            assert_eq!(redacted(Share::Full, given), given);
        }
    }
}
