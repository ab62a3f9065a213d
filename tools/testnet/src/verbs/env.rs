//! Pointing other programs at a node.

use std::{
    collections::BTreeMap, ffi::OsString, os::unix::process::CommandExt, path::Path,
    process::Command,
};

use postroad_cli::{CliError, Exit, Printer};
use serde_json::{Value, json};

use crate::{
    args::{EnvArgs, ExecArgs},
    programs::Programs,
    state::{Node, Testnet},
};

/// Environment variables, by name.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// `postroad-testnet env`.
pub(crate) fn print(dir: Option<&Path>, args: &EnvArgs, printer: &Printer) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let node = &net.nodes[net.find(&args.node)?];
    let mut variables = of(node)?;
    if args.invite {
        variables.insert("POSTROAD_INVITE", invite(node, 1)?);
    }
    printer.object(&variables, || {
        variables.iter().map(|(key, value)| format!("export {key}={}\n", quote(value))).collect()
    })
}

/// `postroad-testnet exec`: becomes the command, so that its exit code and signals are its own.
pub(crate) fn exec(dir: Option<&Path>, args: &ExecArgs) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let variables = of(&net.nodes[net.find(&args.node)?])?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(CliError::usage(
            "exec needs a command",
            "postroad-testnet exec n1 -- postroad status",
        ));
    };
    let path = path_with(&Programs::find()?.dir);
    // A token in the caller's environment would be for another node.
    let mut command = Command::new(program);
    command.args(rest).envs(&variables).env("PATH", path).env_remove("POSTROAD_ADMIN_TOKEN");
    let error = command.exec();
    Err(CliError::io(
        format!("cannot run {}", program.to_string_lossy()),
        &error,
        "check the command's name",
    ))
}

/// What `postroad` reads.
pub(crate) fn of(node: &Node) -> Result<Variables, CliError> {
    let ready = node.ready()?;
    Ok(BTreeMap::from([
        ("POSTROAD_ADMIN", ready.admin.clone()),
        ("POSTROAD_ADMIN_TOKEN_FILE", ready.admin_token_file.display().to_string()),
        ("POSTROAD_NODE", if ready.link.is_empty() { &ready.node } else { &ready.link }.clone()),
    ]))
}

/// A fresh invite's link.
pub(crate) fn invite(node: &Node, uses: u64) -> Result<String, CliError> {
    if !node.is_running() {
        return Err(CliError::new(
            Exit::Unreachable,
            "node_dead",
            format!("the node {} does not run, so it cannot make an invite", node.name),
            format!("postroad-testnet restart {}", node.name),
        ));
    }
    let body = json!({ "uses": uses, "expires_s": 24 * 3600 });
    let created: Value = node.admin()?.post("/v1/invites", &body)?;
    match created["link"].as_str() {
        Some(link) => Ok(link.to_owned()),
        None => Err(CliError::failed(
            "answer",
            "the node made an invite without a link",
            "use posthoused and postroad-testnet of one version",
        )),
    }
}

/// The programs of this build first: `exec n1 -- postroad status` means the one next to us.
fn path_with(dir: &Path) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(dir.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old)
}

/// A word that every shell reads as it is, with quotes only where they are needed.
pub(crate) fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_value_back_unchanged() {
        for text in [
            "",
            "/a/b-c.d",
            "a b",
            "it's",
            "~x",
            "#x",
            "$(rm -rf x)`\"\\",
            "postroad:node#a&b;c",
            "línea\nzwei",
        ] {
            let script = format!("printf %s {}", quote(text));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
