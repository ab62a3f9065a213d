//! Which node is asked, and with which token.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use postroad_cli::{CliError, Exit, data_root};
use serde::Deserialize;

use super::Admin;

/// Flags and environment that name a node.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// Address of the node's admin API [default: the one of this user's posthoused]
    #[arg(
        long,
        global = true,
        help_heading = "Which node",
        value_name = "ADDR",
        env = "POSTROAD_ADMIN"
    )]
    pub admin: Option<String>,
    /// File that holds the admin token; POSTROAD_ADMIN_TOKEN may hold the token itself
    #[arg(
        long,
        global = true,
        help_heading = "Which node",
        value_name = "FILE",
        env = "POSTROAD_ADMIN_TOKEN_FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// Data directory of a local node, asked with the address and token found there
    #[arg(long, global = true, help_heading = "Which node", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What to call the node in messages
    #[arg(
        long,
        global = true,
        help_heading = "Which node",
        value_name = "NODE",
        env = "POSTROAD_NODE"
    )]
    pub node: Option<String>,
}

/// What a running node leaves in its data directory.
#[derive(Debug, Deserialize)]
struct AdminFile {
    admin: String,
    token_file: PathBuf,
}

impl Target {
    /// The API of the node that is meant. Nothing is sent yet.
    pub fn admin(&self) -> Result<Admin, CliError> {
        // clap's `env` would print the token with --help.
        let token = std::env::var("POSTROAD_ADMIN_TOKEN").ok();
        self.resolve(token, &data_root()?.join("posthoused"))
    }

    /// `default_dir` is where this user's node keeps its data.
    fn resolve(&self, env_token: Option<String>, default_dir: &Path) -> Result<Admin, CliError> {
        // A directory says it all; the environment may speak of another node.
        if let Some(dir) = &self.data_dir {
            let found = read_admin_file(dir)?;
            let token = read_token(&dir.join(found.token_file))?;
            return Ok(self.named(Admin::new(loopback(&found.admin)?, Some(token))));
        }
        let local = match &self.admin {
            Some(_) => None,
            None => Some(read_admin_file(default_dir)?),
        };
        let given = self.admin.as_deref().or(local.as_ref().map(|file| file.admin.as_str()));
        let address = loopback(given.unwrap_or_default())?;
        let token = match (&self.token_file, local, env_token) {
            (Some(file), ..) => Some(read_token(file)?),
            // A token in the environment belongs to an address that was named.
            (None, Some(local), _) => Some(read_token(&default_dir.join(local.token_file))?),
            (None, None, Some(token)) if !token.trim().is_empty() => Some(token.trim().to_owned()),
            (None, None, _) => token_of(default_dir, &address),
        };
        Ok(self.named(Admin::new(address, token)))
    }

    fn named(&self, admin: Admin) -> Admin {
        match &self.node {
            Some(node) => admin.called(node),
            None => admin,
        }
    }
}

/// The token of the default node, when that is the one that was named.
fn token_of(dir: &Path, address: &str) -> Option<String> {
    let file = read_admin_file(dir).ok()?;
    if loopback(&file.admin).ok()? != address {
        return None;
    }
    read_token(&dir.join(file.token_file)).ok()
}

fn read_admin_file(dir: &Path) -> Result<AdminFile, CliError> {
    let path = dir.join("admin.json");
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::new(
            Exit::Unreachable,
            "no_node",
            format!("no node of yours was found: there is no {}", path.display()),
            "start one with 'posthoused', or name one with --admin ADDR --token-file FILE",
        ),
        io::ErrorKind::PermissionDenied => denied_file(&path, &error),
        _ => CliError::io(format!("cannot read {}", path.display()), &error, "check the file"),
    })?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::failed(
            "admin_file",
            format!("{} is damaged: {error}", path.display()),
            "restart posthoused, which writes it anew",
        )
    })
}

fn read_token(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => denied_file(path, &error),
        _ => CliError::io(
            format!("cannot read the admin token from {}", path.display()),
            &error,
            "name the node's admin.token with --token-file",
        ),
    })?;
    match text.trim() {
        "" => Err(CliError::failed(
            "token_file",
            format!("{} is empty", path.display()),
            "restart posthoused, which writes it anew",
        )),
        token => Ok(token.to_owned()),
    }
}

fn denied_file(path: &Path, error: &io::Error) -> CliError {
    CliError::new(
        Exit::Denied,
        "denied",
        format!("cannot read {}: {error}", path.display()),
        "run this as the user who runs posthoused",
    )
}

/// `host:port` of an admin API. Only on this machine: the token travels unencrypted.
fn loopback(given: &str) -> Result<String, CliError> {
    let address = given.strip_prefix("http://").unwrap_or(given).trim_end_matches('/');
    let wrong = |why: &str| {
        CliError::usage(
            format!("'{given}' is no admin address: {why}"),
            "give HOST:PORT on this machine, such as 127.0.0.1:7451; for a node elsewhere use a \
             tunnel: ssh -L 7451:127.0.0.1:7451 HOST",
        )
    };
    let local = match address.parse::<SocketAddr>() {
        Ok(socket) => match socket.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        },
        Err(_) => match address.rsplit_once(':') {
            Some(("localhost", port)) => port.parse::<u16>().is_ok(),
            _ => return Err(wrong("expected HOST:PORT")),
        },
    };
    if local { Ok(address.to_owned()) } else { Err(wrong("the token must not leave this machine")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_dir(admin: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = format!(r#"{{"admin":"{admin}","token_file":"admin.token"}}"#);
        std::fs::write(dir.path().join("admin.json"), file).unwrap();
        std::fs::write(dir.path().join("admin.token"), "local-token\n").unwrap();
        dir
    }

    fn resolve(target: &Target, token: Option<&str>, dir: &Path) -> (String, Option<String>) {
        let admin = target.resolve(token.map(str::to_owned), dir).unwrap();
        (admin.address().to_owned(), admin.token().map(str::to_owned))
    }

    #[test]
    fn the_local_node_is_the_default() {
        let dir = node_dir("127.0.0.1:4002");
        let found = ("127.0.0.1:4002".to_owned(), Some("local-token".to_owned()));
        assert_eq!(resolve(&Target::default(), None, dir.path()), found);
        assert_eq!(resolve(&Target::default(), Some("of another"), dir.path()), found);
    }

    #[test]
    fn a_named_node_takes_the_token_given_with_it() {
        let dir = node_dir("127.0.0.1:4002");
        let mut target = Target { admin: Some("http://127.0.0.1:5/".into()), ..Target::default() };
        let named = |token: Option<&str>| ("127.0.0.1:5".to_owned(), token.map(str::to_owned));
        assert_eq!(resolve(&target, None, dir.path()), named(None));
        assert_eq!(resolve(&target, Some(" t\n"), dir.path()), named(Some("t")));
        target.token_file = Some(dir.path().join("admin.token"));
        assert_eq!(resolve(&target, Some("t"), dir.path()), named(Some("local-token")));
        let target = Target { admin: Some("127.0.0.1:4002".into()), ..Target::default() };
        assert_eq!(resolve(&target, None, dir.path()).1.as_deref(), Some("local-token"));
    }

    #[test]
    fn no_node_is_unreachable_and_says_what_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let error = Target::default().resolve(None, dir.path()).unwrap_err();
        assert_eq!((error.code, error.exit), ("no_node", Exit::Unreachable));
        assert!(error.hint.contains("posthoused"));
    }

    #[test]
    fn the_token_stays_on_this_machine() {
        for ok in ["127.0.0.1:1", "[::1]:1", "localhost:1", "http://127.8.8.8:1/"] {
            assert!(loopback(ok).is_ok(), "{ok}");
        }
        for bad in
            ["10.0.0.1:1", "example.org:1", "", "127.0.0.1", "localhost:x", "https://127.0.0.1:1"]
        {
            assert_eq!(loopback(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
