//! The guard at the network's door: who it is by the token, from a page of another site or not, and not too often.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::time::Instant;

use super::caller::Caller;
use super::problem::Problem;
use super::rate::Rates;
use crate::config::http::{HttpConfig, Role, TokenConfig};

/// What a caller without a token is called where nobody needs one.
const ANYBODY: &str = "http";
/// Wrong tokens from one address, per second.
const GUESSES_PER_S: u32 = 5;

/// What the guard knows.
pub(super) struct Guard {
    tokens: Vec<TokenConfig>,
    open: bool,
    rates: Rates<String>,
    guesses: Rates<IpAddr>,
}

impl Guard {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            tokens: config.tokens.clone(),
            open: config.open,
            rates: Rates::new(config.limits.requests_per_s),
            guesses: Rates::new(GUESSES_PER_S),
        }
    }

    #[expect(
        clippy::result_large_err,
        reason = "an answer is made once a request and sent at once"
    )]
    fn let_in(&self, headers: &HeaderMap, from: IpAddr, now: Instant) -> Result<Caller, Response> {
        if let Some(problem) = foreign(headers, self.open) {
            return Err(problem.into_response());
        }
        let caller = match bearer(headers) {
            Some(token) => self.known(token).ok_or_else(|| self.wrong_token(from, now))?,
            None if self.open => Caller::guest(ANYBODY, Role::Admin),
            None => return Err(unauthorized("this takes a token: `Authorization: Bearer …`")),
        };
        match self.rates.take(caller.name.clone(), now) {
            Ok(()) => Ok(caller),
            Err(wait) => Err(too_often(wait.as_secs_f64())),
        }
    }

    /// Compares with every token to the end, so that the time tells nothing.
    fn known(&self, token: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = 0u32;
        for (place, known) in (1u32..).zip(&self.tokens) {
            let same: Choice = digest.ct_eq(&known.digest);
            found.conditional_assign(&place, same);
        }
        let known = self.tokens.get(usize::try_from(found.checked_sub(1)?).ok()?)?;
        Some(Caller::guest(&known.name, known.role))
    }

    fn wrong_token(&self, from: IpAddr, now: Instant) -> Response {
        match self.guesses.take(from, now) {
            Ok(()) => unauthorized("the token is not one of those that are configured"),
            Err(wait) => too_often(wait.as_secs_f64()),
        }
    }
}

/// Lets a request in with its caller, or turns it away.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let (who, response) = match guard.let_in(request.headers(), from.ip(), began) {
        Ok(caller) => {
            let name = caller.name.clone();
            request.extensions_mut().insert(caller);
            (name, next.run(request).await)
        }
        Err(refused) => ("-".to_owned(), refused),
    };
    let took_ms = began.elapsed().as_millis();
    let status = response.status().as_u16();
    tracing::info!(%who, %from, %method, path, status, took_ms, "request");
    harden(response)
}

/// No cache keeps an answer, and no browser guesses what it is.
fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A browser sends its user's requests from any page. Those of other pages do not get in; and where nobody needs a
/// token, neither do those that reached this address by a name of theirs.
fn foreign(headers: &HeaderMap, open: bool) -> Option<Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = headers.get(header::ORIGIN) {
        let of_ours = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        if of_ours.is_none_or(|(_, from)| from != host) {
            return Some(Problem::forbidden("pages of other sites are not served"));
        }
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let is_here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (open && !is_here)
        .then(|| Problem::forbidden("without a token this answers to 127.0.0.1 and localhost only"))
}

fn unauthorized(detail: &str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let wants = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, wants);
    response
}

fn too_often(wait_s: f64) -> Response {
    let detail =
        "more requests than `http.requests_per_s` allows; wait as long as Retry-After says";
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    let seconds = HeaderValue::from_str(&format!("{:.0}", wait_s.ceil().max(1.0)));
    if let Ok(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "simctl_0123";

    fn guard(open: bool) -> Guard {
        let digest = |token: &str| Sha256::digest(token).into();
        let token = |name: &str, role, token| TokenConfig {
            name: name.into(),
            role,
            digest: digest(token),
        };
        Guard::new(&HttpConfig {
            open,
            tokens: vec![
                token("grafana", Role::Viewer, TOKEN),
                token("ops", Role::Operator, "simctl_4567"),
            ],
            ..HttpConfig::default()
        })
    }

    fn asked(guard: &Guard, pairs: &[(header::HeaderName, &str)]) -> Result<Caller, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        for (name, value) in pairs {
            headers.insert(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let from = IpAddr::from([127, 0, 0, 1]);
        guard.let_in(&headers, from, Instant::now()).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn a_token_tells_who_it_is_and_what_it_may() {
        let guard = guard(false);
        let with = |text: &str| asked(&guard, &[(header::AUTHORIZATION, text)]);
        assert_eq!(with(&format!("Bearer {TOKEN}")), Ok(Caller::guest("grafana", Role::Viewer)));
        assert_eq!(with("bearer simctl_4567"), Ok(Caller::guest("ops", Role::Operator)));
        let digest = crate::domain::proposal::hex(&Sha256::digest(TOKEN));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer simctl_012",
            &format!("Basic {TOKEN}"),
            &format!("Bearer {digest}"),
        ] {
            assert_eq!(with(bad), Err(401), "{bad}");
        }
        assert_eq!(asked(&guard, &[]), Err(401));
    }

    #[test]
    fn an_open_door_is_open_to_this_machine_alone() {
        let guard = guard(true);
        assert_eq!(asked(&guard, &[]), Ok(Caller::guest("http", Role::Admin)));
        assert_eq!(asked(&guard, &[(header::AUTHORIZATION, "Bearer x")]), Err(401));
        for here in ["localhost:1", "[::1]:8080", "127.0.0.1"] {
            assert!(asked(&guard, &[(header::HOST, here)]).is_ok(), "{here}");
        }
        for rebound in ["evil.example:8080", "10.0.0.5", "", "localhost.evil.example"] {
            assert_eq!(asked(&guard, &[(header::HOST, rebound)]), Err(403), "{rebound}");
        }
    }

    #[test]
    fn a_page_of_another_site_gets_nothing_whatever_it_brings() {
        let guard = guard(false);
        let bearer = format!("Bearer {TOKEN}");
        let from = |origin: &str| {
            asked(&guard, &[(header::AUTHORIZATION, &bearer), (header::ORIGIN, origin)])
        };
        for other in ["https://evil.example", "null", "http://127.0.0.1:3000"] {
            assert_eq!(from(other), Err(403), "{other}");
        }
        assert!(from("http://127.0.0.1:8080").is_ok());
    }

    #[test]
    fn guesses_are_slowed_down_and_known_callers_are_not() {
        let guard = guard(false);
        let wrong = || asked(&guard, &[(header::AUTHORIZATION, "Bearer x")]);
        let answers: Vec<_> = (0..30).map(|_| wrong()).collect();
        assert_eq!((answers[0].clone(), answers[29].clone()), (Err(401), Err(429)));
        let bearer = format!("Bearer {TOKEN}");
        assert!(asked(&guard, &[(header::AUTHORIZATION, &bearer)]).is_ok());
    }
}
