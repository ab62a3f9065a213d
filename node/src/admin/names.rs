//! What an operator means by a word: every id, name and link that any command prints is taken.

use axum::http::StatusCode;
use postroad_core::Core;
use postroad_proto::ids::{AccountId, IdError, Millis, NodeId, ParcelId};
use postroad_proto::link::{ContactLink, JoinLink, LinkError, NodeLink};

use super::Problem;

/// Ids named when a word stands for several nodes.
const CANDIDATES: usize = 5;
const HINT: &str = "postroad routes shows the nodes, postroad user ls the people of this one";
/// How every link begins, and nothing else.
const LINK: &str = "postroad:";

/// What a word stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    Node(NodeId),
    /// An account homed here, or lately here; and whether it was named by its handle.
    Account(AccountId, Kind),
    /// Somebody at another node. Only that node knows who has a handle; only a contact link says both,
    /// and may be older than a move.
    Elsewhere {
        handle: Option<String>,
        account: Option<AccountId>,
        home: NodeId,
    },
    /// A parcel, in custody here or not.
    Parcel(ParcelId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Handle,
}

impl Kind {
    /// How somebody was named of whom the account may be known.
    pub(super) fn of(account: Option<&AccountId>) -> Self {
        if account.is_some() { Self::Id } else { Self::Handle }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Id => "account",
            Self::Handle => "handle",
        }
    }
}

/// What `text` stands for at this node.
pub(super) fn find(core: &Core, text: &str, now: Millis) -> Result<Named, Problem> {
    if text.trim_start().starts_with(LINK) {
        return Ok(match link(text)? {
            Link::Node(node) => Named::Node(node),
            Link::Person(person) => of_link(core, *person)?,
        });
    }
    if let Ok(parcel) = text.parse() {
        return Ok(Named::Parcel(parcel));
    }
    if let Some(account) = core.find_account(text) {
        let kind = if text.parse::<AccountId>().is_ok() { Kind::Id } else { Kind::Handle };
        return Ok(Named::Account(account, kind));
    }
    match text.rsplit_once('@') {
        Some((local, node)) if !local.is_empty() => elsewhere(core, text, node, now),
        _ => find_node(core, text, now).map(Named::Node),
    }
}

fn elsewhere(core: &Core, handle: &str, node: &str, now: Millis) -> Result<Named, Problem> {
    let home = find_node(core, node, now)?;
    if home == core.node() {
        return Err(Problem::not_found(
            format!("nobody at this node is called {handle:?}"),
            "postroad user ls shows who is here",
        ));
    }
    Ok(Named::Elsewhere { handle: Some(handle.to_owned()), account: None, home })
}

/// What links lead to.
enum Link {
    Node(NodeId),
    Person(Box<ContactLink>),
}

fn link(text: &str) -> Result<Link, Problem> {
    let wrong_kind = |error: &LinkError| matches!(error, LinkError::Kind { .. });
    let found = match text.parse::<NodeLink>() {
        Err(error) if wrong_kind(&error) => match text.parse::<JoinLink>() {
            Err(error) if wrong_kind(&error) => {
                text.parse().map(|person| Link::Person(Box::new(person)))
            }
            other => other.map(|link| Link::Node(link.node.node)),
        },
        other => other.map(|link| Link::Node(link.node)),
    };
    found.map_err(|error| {
        let message = match error {
            LinkError::Kind { got, .. } => format!("{got:?} begins no link that leads to somebody"),
            other => other.to_string(),
        };
        Problem::not_found(message, "give a node's link, a join link or a contact link, all of it")
    })
}

/// Whose contact link it is. The code in it stays where it is.
fn of_link(core: &Core, person: ContactLink) -> Result<Named, Problem> {
    let ContactLink { account, home, handle, .. } = person;
    if core.find_account(&account.to_string()).is_some() {
        return Ok(Named::Account(account, Kind::Id));
    }
    if home.node == core.node() {
        return Err(Problem::not_found(
            format!("the link is of {account}, who is not homed here any more"),
            "postroad user ls shows who is here",
        ));
    }
    let handle = (!handle.is_empty()).then_some(handle);
    Ok(Named::Elsewhere { handle, account: Some(account), home: home.node })
}

/// The node that is meant by its id, the beginning of its id, its name, or a link that leads to it.
pub(super) fn find_node(core: &Core, text: &str, now: Millis) -> Result<NodeId, Problem> {
    if text.trim_start().starts_with(LINK) {
        return Ok(match link(text)? {
            Link::Node(node) => node,
            Link::Person(person) => person.home.node,
        });
    }
    match text.parse::<NodeId>() {
        Ok(node) if is_known(core, &node, now) => return Ok(node),
        Ok(_) => {
            let message = format!("{text} is no node that is known here, and nobody homed here");
            let hint = "people of other nodes go by their handle here, such as bob@node; postroad \
                        routes shows the nodes";
            return Err(Problem::not_found(message, hint));
        }
        Err(IdError::Check(_)) => {
            let message = format!("{text} is mistyped: its check character does not fit");
            return Err(Problem::not_found(message, HINT));
        }
        Err(IdError::Shape { .. }) => {}
    }
    let mut found = core.find_nodes(text);
    if found.is_empty() {
        found = core.find_nodes(&text.to_ascii_lowercase());
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (Some(first), Some(second)) => {
            let others = [first, second].into_iter().chain(found).take(CANDIDATES);
            let ids: Vec<String> = others.map(|node| node.to_string()).collect();
            Err(Problem::new(
                StatusCode::CONFLICT,
                "AMBIGUOUS",
                format!("{text:?} stands for more than one node; names are the nodes' own words"),
                format!("give one of the ids: {}", ids.join(", ")),
            ))
        }
        (None, _) => Err(Problem::not_found(format!("nothing here is called {text:?}"), HINT)),
    }
}

/// Whether anything at all is known of a node.
fn is_known(core: &Core, node: &NodeId, now: Millis) -> bool {
    *node == core.node()
        || core.is_pinned(node)
        || !core.node_addresses(node).is_empty()
        || core.route(node, now).is_some()
        || core.peers().iter().any(|peer| peer.node == *node)
}
