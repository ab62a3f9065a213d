//! What an operator means by a word: every id, name and link that any command prints is taken.

use axum::http::StatusCode;
use postroad_core::Core;
use postroad_proto::ids::{AccountId, IdError, Millis, NodeId, ParcelId};
use postroad_proto::link::NodeLink;

use super::Problem;

/// Ids named when a word stands for several nodes.
const CANDIDATES: usize = 5;
const HINT: &str = "postroad routes shows the nodes, postroad user ls the people of this one";

/// What a word stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    Node(NodeId),
    /// An account homed here, or lately here; and whether it was named by its handle.
    Account(AccountId, Kind),
    /// Somebody at another node. Only that node knows who has the handle.
    Elsewhere {
        handle: String,
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
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Id => "account",
            Self::Handle => "handle",
        }
    }
}

/// What `text` stands for at this node.
pub(super) fn find(core: &Core, text: &str, now: Millis) -> Result<Named, Problem> {
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
    Ok(Named::Elsewhere { handle: handle.to_owned(), home })
}

/// The node that is meant by its link, its id, the beginning of its id, or its name.
pub(super) fn find_node(core: &Core, text: &str, now: Millis) -> Result<NodeId, Problem> {
    if let Ok(link) = text.parse::<NodeLink>() {
        return Ok(link.node);
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
