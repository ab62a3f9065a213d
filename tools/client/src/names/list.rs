//! The user's own list of names: as a line in `/etc/hosts`, but for nodes.

use std::io::{ErrorKind, Read};
use std::path::Path;

use postroad_proto::ids::NodeId;

use super::{NameError, checked};

/// Bytes of a list that are read at most.
const MAX_LIST: u64 = 1024 * 1024;

/// The nodes that the list names `name`. All of the list is read: a line that is wrong is said to be,
/// and not passed over.
pub(super) fn nodes(path: &Path, name: &str) -> Result<Vec<NodeId>, NameError> {
    let wrong = |line: Option<usize>, why: String| NameError::List {
        path: path.display().to_string(),
        line,
        why,
    };
    let mut text = String::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(None, error.to_string())),
        Ok(file) => file.take(MAX_LIST).read_to_string(&mut text),
    }
    .map_err(|error| wrong(None, error.to_string()))?;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |why: String| wrong(Some(index + 1), why);
        let entry = line.split('#').next().unwrap_or_default();
        let mut words = entry.split_whitespace();
        let (named, node) = match (words.next(), words.next(), words.next()) {
            (None, ..) => continue,
            (Some(named), Some(node), None) => (named, node),
            _ => return Err(wrong("expected a name and a node's id".to_owned())),
        };
        let node = node.parse().map_err(|e| wrong(format!("no node's id: {e}")))?;
        if checked(named).map_err(|error| wrong(error.to_string()))? == name {
            found.push(node);
        }
    }
    Ok(found)
}
