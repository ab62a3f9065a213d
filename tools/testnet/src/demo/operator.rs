//! What an operator sees of it all: every look is one run of `postroad`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::Stdio,
};

use postroad_cli::CliError;
use serde_json::Value;

use super::{
    checks::wrong,
    command::{clean, output},
};
use crate::{dirs, programs::Programs, state::Node, verbs::env};

/// Draws the network as this node knows it into a file that outlives the demo.
pub(super) fn draw_map(node: &Node, programs: &Programs) -> Result<PathBuf, CliError> {
    let svg = postroad(node, &["map", "--format", "svg"], programs)?;
    let text = String::from_utf8_lossy(&svg);
    if !text.contains("<svg") || ["n1", "n2", "n3"].iter().any(|name| !text.contains(name)) {
        return Err(wrong("the map is no drawing of n1, n2 and n3".to_owned()));
    }
    let path = dirs::lasting("map").with_extension("svg");
    let new = dirs::unnamed("map");
    // Under a name that nobody has yet, then renamed: what lies in /tmp may be somebody's trap.
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&new);
    file.and_then(|mut file| file.write_all(&svg)).and_then(|()| fs::rename(&new, &path)).map_err(
        |error| {
            CliError::io(format!("cannot write {}", path.display()), &error, "remove the old one")
        },
    )?;
    Ok(path)
}

/// What waits at this node for that one, in words; why there is nothing to show otherwise.
pub(super) fn queue_row(
    node: &Node,
    to: &str,
    programs: &Programs,
) -> Result<Result<String, String>, CliError> {
    let answer = postroad(node, &["--json", "queue"], programs)?;
    let rows: Vec<Value> = serde_json::from_slice(&answer)
        .map_err(|error| wrong(format!("postroad queue printed no list: {error}")))?;
    let Some(row) = rows.iter().find(|row| row["to"] == to) else {
        return Ok(Err(format!("{to} is not in the queue of {}", node.name)));
    };
    let (messages, bytes) = (row["messages"].as_u64(), row["bytes"].as_u64());
    let (Some(messages), Some(bytes), Some(reason)) = (messages, bytes, row["reason"].as_str())
    else {
        return Err(wrong(format!("a row of postroad queue is incomplete: {row}")));
    };
    Ok(Ok(format!("{messages} message, {bytes} bytes for {to}: {reason}")))
}

fn postroad(node: &Node, args: &[&str], programs: &Programs) -> Result<Vec<u8>, CliError> {
    let mut command = clean(&programs.path("postroad")?);
    command.args(args).envs(env::of(node)?);
    output(&mut command, Stdio::null(), &format!("postroad {}", args.join(" ")))
}
