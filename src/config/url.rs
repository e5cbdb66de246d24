//! URLs of servers and stores: taken apart for targets, masked for people.

use super::secret::Secret;

/// The parts of `scheme://user:password@host:port/database?options`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub scheme: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub host: String,
    pub port: Option<u16>,
    pub database: Option<String>,
    pub options: Vec<(String, String)>,
}

/// Takes a URL apart. The reason for a refusal never repeats the URL, which may hold a password.
pub fn parse(text: &str) -> Result<Parts, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no `scheme://`")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') || (query.contains('@') && !authority.contains('@')) {
        return Err("a `/`, `?` or `@` in a password is written `%2F`, `%3F` or `%40`".into());
    }
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = host_and_port(address)?;
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(decode(password)?))),
        None => (login, None),
    };
    let options = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, String>>()?;
    Ok(Parts {
        scheme: scheme.to_ascii_lowercase(),
        user: Some(decode(user)?).filter(|user| !user.is_empty()),
        password,
        host,
        port,
        database: Some(decode(path)?).filter(|path| !path.is_empty()),
        options,
    })
}

fn host_and_port(address: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("its `[` is not closed")?;
            (host, after.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("it has no host".into());
    }
    let port = port
        .map(|port| port.parse().ok().filter(|port| *port > 0))
        .map(|port| port.ok_or("its port is no number from 1 to 65535"))
        .transpose()?;
    Ok((host.to_owned(), port))
}

/// `%40` and the like.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next(), rest.next()].map(|digit| digit.map_or('x', char::from));
            let value = match digits.map(|digit| digit.to_digit(16)) {
                [Some(high), Some(low)] => u8::try_from(high * 16 + low).ok(),
                _ => None,
            };
            bytes.push(value.ok_or("a `%` in it is not followed by two hexadecimal digits")?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// The URL with everything secret replaced by `***`. What is no URL is masked as a whole: nobody knows what
/// is secret in it.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.strip_prefix("sqlite:").map_or_else(|| "***".into(), |_| url.to_owned());
    };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    // A stray `@`, `/` or `?` in a password must not uncover the rest of it: the last `@` ends the login.
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let login = login.map_or_else(String::new, |login| match login.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None => format!("{login}@"),
    });
    let query: Vec<String> =
        query.split('&').filter(|q| !q.is_empty()).map(masked_option).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("{scheme}://{login}{address}{query}")
}

fn masked_option(pair: &str) -> String {
    const HARMLESS: [&str; 6] =
        ["sslmode", "sslrootcert", "application_name", "connect_timeout", "mode", "host"];
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    if HARMLESS.contains(&name) { pair.to_owned() } else { format!("{name}=***") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let parts = parse("postgres://ops:p%40ss@db.example:6432/shop?sslmode=require").unwrap();
        assert_eq!(parts.scheme, "postgres");
        assert_eq!(parts.user.as_deref(), Some("ops"));
        assert_eq!(parts.password.as_ref().map(Secret::reveal), Some("p@ss"));
        assert_eq!((parts.host.as_str(), parts.port), ("db.example", Some(6432)));
        assert_eq!(parts.database.as_deref(), Some("shop"));
        assert_eq!(parts.options, [("sslmode".to_owned(), "require".to_owned())]);
    }

    #[test]
    fn optional_parts_may_be_missing() {
        let parts = parse("redis://[::1]").unwrap();
        assert_eq!((parts.host.as_str(), parts.port), ("::1", None));
        assert_eq!((parts.user, parts.password, parts.database), (None, None, None));
        let parts = parse("rediss://:pw@cache:6390/2").unwrap();
        assert_eq!(parts.user, None);
        assert_eq!(parts.password.as_ref().map(Secret::reveal), Some("pw"));
        assert_eq!(parts.database.as_deref(), Some("2"));
    }

    #[test]
    fn a_broken_url_is_refused_with_a_reason_that_does_not_repeat_it() {
        for (url, reason) in [
            ("hunter2", "no `scheme://`"),
            ("redis://", "no host"),
            ("redis://u:hunter2@", "no host"),
            ("redis://u:hunter2@h:0", "1 to 65535"),
            ("redis://u:hunter2@h:70000", "1 to 65535"),
            ("redis://u:hunter2%4@h", "hexadecimal"),
            ("redis://[::1", "not closed"),
            ("redis://u:12/hunter2@h", "%2F"),
            ("redis://u:12?hunter2@h", "%3F"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_harmless_stays_readable() {
        for (url, shown) in [
            ("postgres://u:p@h:1/d?sslmode=require", "postgres://u:***@h:1/d?sslmode=require"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d?password=x", "postgres://h/d?password=***"),
            ("sqlite:/var/x.db", "sqlite:/var/x.db"),
            ("sqlite:///var/x@y.db", "sqlite:///var/x@y.db"),
            ("p4ssw0rd", "***"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    proptest! {
        #[test]
        fn a_password_is_never_in_a_masked_url(password in "[!-~]{4,20}", user in "[a-z]{1,3}") {
            let shown = masked(&format!("postgres://{user}:{password}@h/d"));
            let login = shown.replace("postgres://", "").replace("h/d", "");
            prop_assert!(!login.contains(&password), "{} shows {}", shown, password);
        }
    }
}
