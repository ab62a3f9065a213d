//! Which node a name stands for, as `road.example` in `alice@road.example`.
//!
//! What proves a name is a record in the DNS that its owner has put there, or a line in a list of the
//! user's own. What a node calls itself proves nothing: anybody can call their node `road.example`.

mod dns;
mod list;

use std::path::PathBuf;

use postroad_proto::ids::NodeId;

/// Longest name of a host, bytes: RFC 1035.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Finds the nodes that a name stands for.
pub trait Resolver: Send + Sync {
    /// All that `name` stands for; never none. More than one is for the caller to refuse.
    ///
    /// # Errors
    /// See [`NameError`].
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Vec<NodeId>, NameError>> + Send;
}

/// Why a name stands for no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not the name of a host.
    #[error("{0:?} is neither a node's id nor the name of a host")]
    NoName(String),
    /// Nobody says which node it is.
    #[error(
        "nothing says which node {0} is: there is no TXT record \"postroad=…\" at _postroad.{0}"
    )]
    NoRecord(String),
    /// There is a record, but it names no node.
    #[error("the TXT record at _postroad.{name} names no node: {why}")]
    BadRecord {
        /// The name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// More than one node is said to be it.
    #[error("{count} different nodes are said to be {name}: which one is not clear")]
    Several {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// The DNS does not answer.
    #[error("{name} cannot be looked up: {why}")]
    Unreachable {
        /// The name.
        name: String,
        /// What it said.
        why: String,
    },
    /// The user's own list cannot be read.
    #[error("the list of names {path}{}: {why}", line.map(|n| format!(", line {n}")).unwrap_or_default())]
    List {
        /// The file.
        path: String,
        /// Where in it.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
}

/// The user's own list first, and the DNS for what is not in it.
#[derive(Debug, Clone, Default)]
pub struct Names {
    list: Option<PathBuf>,
}

impl Names {
    /// With a list of the user's own. Each of its lines has a name and a node's id; what follows a
    /// `#` is for people. A file that does not exist is an empty list.
    pub fn new(list: Option<PathBuf>) -> Self {
        Self { list }
    }
}

impl Resolver for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<NodeId>, NameError> {
        let name = checked(name)?;
        if let Some(path) = &self.list {
            let listed = list::nodes(path, &name)?;
            if !listed.is_empty() {
                return Ok(listed);
            }
        }
        dns::nodes(&name).await
    }
}

/// The one node that `name` stands for.
pub(crate) async fn node(resolver: &impl Resolver, name: &str) -> Result<NodeId, NameError> {
    let mut nodes = resolver.resolve(name).await?;
    nodes.sort_unstable();
    nodes.dedup();
    match nodes.as_slice() {
        [node] => Ok(*node),
        [] => Err(NameError::NoRecord(name.to_owned())),
        several => Err(NameError::Several { name: name.to_owned(), count: several.len() }),
    }
}

/// A host's name in lower case, without a dot at its end.
pub(crate) fn checked(name: &str) -> Result<String, NameError> {
    let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let fits = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if lower.len() <= MAX_NAME && lower.split('.').all(fits) {
        return Ok(lower);
    }
    Err(NameError::NoName(name.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says the same of every name.
    struct Says(Vec<NodeId>);

    impl Resolver for Says {
        async fn resolve(&self, _: &str) -> Result<Vec<NodeId>, NameError> {
            Ok(self.0.clone())
        }
    }

    #[tokio::test]
    async fn a_name_stands_for_one_node_or_for_none() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        assert_eq!(node(&Says(vec![a, a]), "x.example").await, Ok(a), "said twice is no matter");
        let several = node(&Says(vec![a, b]), "x.example").await;
        assert_eq!(several, Err(NameError::Several { name: "x.example".to_owned(), count: 2 }));
        assert!(matches!(node(&Says(vec![]), "x.example").await, Err(NameError::NoRecord(_))));
    }

    #[test]
    fn names_are_those_of_hosts() {
        assert_eq!(checked("Road.Example.").unwrap(), "road.example");
        assert_eq!(checked("nodeb").unwrap(), "nodeb");
        let long = format!("{}.example", "x".repeat(64));
        for wrong in ["", ".", "a..b", "-a.b", "a-.b", "a b", "räd.example", "a/b", "a@b", &long] {
            assert!(matches!(checked(wrong), Err(NameError::NoName(_))), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn the_users_own_list_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names");
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        std::fs::write(&path, format!("# mine\nroad.example {a} # home\n\n  Two.example\t{b}\n"))
            .unwrap();
        let names = Names::new(Some(path.clone()));
        assert_eq!(names.resolve("ROAD.example").await, Ok(vec![a]));
        assert_eq!(names.resolve("two.example").await, Ok(vec![b]));
        std::fs::write(&path, format!("road.example {a}\nroad.example {b}\n")).unwrap();
        assert_eq!(names.resolve("road.example").await, Ok(vec![a, b]));
        for wrong in ["road.example", "road.example xyz", "road.example a b", &format!("a/b {a}")] {
            std::fs::write(&path, format!("two.example {b}\n{wrong}\n")).unwrap();
            let refused = names.resolve("two.example").await;
            let Err(NameError::List { line: Some(2), .. }) = refused else { panic!("{refused:?}") };
        }
    }
}
