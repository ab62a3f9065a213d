//! One request, one answer, and errors that say what to do.

use std::{fmt, io, time::Duration};

use postroad_cli::{CliError, Exit};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, RequestBuilder, http::Response};

/// The node is on this machine: when it does not answer by then, it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A list of every mailbox of a large node fits; more is a mistake.
const MAX_ANSWER: u64 = 64 << 20;

/// A node's admin API.
#[derive(Clone)]
pub struct Admin {
    address: String,
    token: Option<String>,
    name: Option<String>,
    patience: Duration,
    agent: Agent,
}

/// What the API says when it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
    hint: String,
}

impl Admin {
    /// An API at `host:port`, asked with this token.
    #[must_use]
    pub fn new(address: String, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            // A proxy from the environment must never see the token.
            .proxy(None)
            .max_redirects(0)
            .build();
        Admin { address, token, name: None, patience: ANSWER_TIMEOUT, agent: config.into() }
    }

    /// The same, with a name for messages.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Admin { name: Some(name.to_owned()), ..self }
    }

    /// The same, for questions that the node answers after up to this long of its own doing.
    #[must_use]
    pub(crate) fn patient(self, work: Duration) -> Self {
        Admin { patience: ANSWER_TIMEOUT + work, ..self }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[cfg(test)]
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Asks for an object or a list.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.json(&self.get_text(path)?)
    }

    /// Asks for text.
    pub fn get_text(&self, path: &str) -> Result<String, CliError> {
        self.answer(self.signed(self.agent.get(self.url(path))).call())
    }

    /// Sends an object.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let body = serde_json::to_string(body).map_err(|error| {
            CliError::failed("request", format!("cannot write the request: {error}"), "")
        })?;
        let request = self.signed(self.agent.post(self.url(path)));
        self.json(&self.answer(request.header("Content-Type", "application/json").send(body))?)
    }

    /// Deletes something.
    pub fn delete(&self, path: &str) -> Result<(), CliError> {
        self.answer(self.signed(self.agent.delete(self.url(path))).call()).map(drop)
    }

    /// Whether something at the address answers at all; needs no token.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.get_text("/livez"), Err(error) if error.exit == Exit::Unreachable)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// With the token, and as much time as the answer may take.
    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = request.config().timeout_global(Some(self.patience)).build();
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Result<String, CliError> {
        let mut response = result.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string()
            .map_err(|error| self.transport(&error))?;
        if (200..300).contains(&status) { Ok(text) } else { Err(self.refusal(status, &text)) }
    }

    /// An empty answer reads as JSON's `null`.
    fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, CliError> {
        let text = if text.trim().is_empty() { "null" } else { text };
        serde_json::from_str(text).map_err(|error| {
            CliError::failed(
                "answer",
                format!("{self} gave an answer that this program does not understand: {error}"),
                "use the postroad of the same version as the node",
            )
        })
    }

    fn transport(&self, error: &ureq::Error) -> CliError {
        let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        match error {
            ureq::Error::Timeout(_) => self.timeout(),
            ureq::Error::Io(error) if timed_out(error) => self.timeout(),
            error => CliError::new(
                Exit::Unreachable,
                "unreachable",
                format!("{self} cannot be reached: {error}"),
                "see whether posthoused runs and its log says that it is ready",
            ),
        }
    }

    fn timeout(&self) -> CliError {
        CliError::new(
            Exit::TimedOut,
            "timeout",
            format!("{self} did not answer within {}s", self.patience.as_secs()),
            "look into the node's log; it may be busy or stuck",
        )
    }

    fn refusal(&self, status: u16, text: &str) -> CliError {
        let refusal: Refusal = serde_json::from_str(text).unwrap_or_default();
        let (exit, code, hint) = match status {
            401 | 403 => (
                Exit::Denied,
                "denied",
                "name the node's admin.token with --token-file or POSTROAD_ADMIN_TOKEN_FILE",
            ),
            404 => (Exit::NotFound, "not_found", "the ls commands show what there is"),
            408 | 504 => (Exit::TimedOut, "timeout", "try again"),
            // The node is there; the node it was to reach is not.
            502 => (Exit::Unreachable, "unreachable", "postroad trace NODE shows what is known"),
            _ => (Exit::Failed, "refused", "look into the node's log"),
        };
        let pick = |given: String, or: String| if given.is_empty() { or } else { given };
        let message = pick(refusal.message, format!("{self} answered with HTTP status {status}"));
        CliError::new(exit, code, message, pick(refusal.hint, hint.to_owned()))
    }
}

/// Without the token: this may end up in a log.
impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The node, in a sentence.
impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the node {name} at {}", self.address),
            None => write!(f, "the node at {}", self.address),
        }
    }
}

/// A user's text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            // A dot is harmless except where the segment is only dots, which means a directory.
            b'.' if text.bytes().any(|byte| byte != b'.') => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        Admin::new("127.0.0.1:1".into(), None).called("alpha")
    }

    #[test]
    fn a_refusal_keeps_the_nodes_words_and_gets_our_exit_code() {
        let body = r#"{"code":"NO_USER","message":"no such user","hint":"postroad user ls"}"#;
        let error = admin().refusal(404, body);
        assert_eq!((error.exit, error.code), (Exit::NotFound, "not_found"));
        assert_eq!((&*error.message, &*error.hint), ("no such user", "postroad user ls"));
        for (status, exit) in [
            (401, Exit::Denied),
            (403, Exit::Denied),
            (400, Exit::Failed),
            (500, Exit::Failed),
            (502, Exit::Unreachable),
        ] {
            let error = admin().refusal(status, "<html>");
            assert_eq!(error.exit, exit);
            assert!(error.message.contains("alpha") && !error.hint.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn nobody_there_is_exit_3() {
        // A port that was free a moment ago.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        drop(socket);
        let admin = Admin::new(address, None);
        assert_eq!(admin.get_text("/v1/status").unwrap_err().exit, Exit::Unreachable);
        assert!(!admin.is_alive());
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(segment("alice@a.example"), "alice%40a.example");
        assert_eq!(segment("../v1/shutdown?x#y"), "..%2Fv1%2Fshutdown%3Fx%23y");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ä"), "%C3%A4");
    }
}
