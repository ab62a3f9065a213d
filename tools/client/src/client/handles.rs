//! Adding people by handle.

use postroad_proto::frame::Records;
use postroad_proto::ids::NodeId;
use postroad_proto::link::NodeLink;
use postroad_proto::record::{Handle, HandleRecord};

use super::people::insert;
use super::{Client, ContactView};
use crate::clock;
use crate::contacts::{self, Phase, Verified};
use crate::devices::{self, Due};
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::names::{self, Resolver};
use crate::sync::keep_prekeys;

impl Client {
    /// Adds a contact by handle: `handle@NODE`, with the node's id, or a name that `resolver` knows.
    /// They are asked with the first text that is sent to them.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Connection`], [`Error::Refused`] with NOT_FOUND or UNROUTABLE,
    /// [`Error::NameTaken`]; [`Error::HandleChanged`] and [`Error::NodeChanged`] when a contact is
    /// known by it already who is somebody or somewhere else.
    pub async fn add_handle(
        &mut self,
        full: &str,
        name: Option<&str>,
        resolver: &impl Resolver,
    ) -> Result<ContactView> {
        let own = self.identity()?;
        let (handle, at) = parse_handle(full)?;
        if own.full_handle().as_deref() == Some(full) {
            return Err(Error::Yourself);
        }
        let (node, known_as) = find_node(&own, at, resolver).await?;
        self.db.read(|tx| contacts::check_node(tx, &own, &known_as, &node))?;
        let records = self.look_up(node, &handle).await?;
        let bound = bound_handle(&own, &records, &handle, &node)?;
        if bound.account == own.account {
            return Err(Error::Yourself);
        }
        let (account, now) = (bound.account, clock::now());
        // The name under which it was found, not the one that the node gives itself.
        let full = format!("{handle}@{known_as}");
        let home = match node == own.home.node {
            true => own.home.clone(),
            false => NodeLink {
                network: own.network.clone(),
                node,
                addresses: Vec::new(),
                name: if known_as.parse::<NodeId>().is_ok() { String::new() } else { known_as },
                p2p: Vec::new(),
            },
        };
        self.db.write(|tx| {
            contacts::check_handle(tx, &own, &full, &bound)?;
            let contact = match contacts::find(tx, &account)? {
                Some(contact) => contact,
                None => insert(tx, &own, account, name, Phase::Stranger, &home, &full, now)?,
            };
            if let Some(name) = name {
                contacts::rename(tx, &account, name, now)?;
            }
            let handle = records.handle.as_ref();
            let verified =
                Verified::check(&account, &own.network, &records.record, &records.devices, handle)?;
            contacts::store_records(tx, &own, &contact, &verified, now)?;
            contacts::prove_handle(tx, &account, &full)?;
            contacts::forget_failure(tx, &account)?;
            devices::note(tx, Due::Person, account.0, now)?;
            if contact.phase == Phase::Stranger {
                let list = records.devices.open(&own.network)?;
                keep_prekeys(tx, &own.network, &account, &list, &records.fallback, now)?;
            }
            Ok(contacts::get(tx, &account)?.into())
        })
    }
}

/// `handle@node` in its two parts.
fn parse_handle(full: &str) -> Result<(Handle, &str)> {
    let wrong = || Error::NotFound { what: "contact link or handle like", name: full.to_owned() };
    let (handle, node) = full.split_once('@').ok_or_else(wrong)?;
    Ok((handle.parse().map_err(|_| wrong())?, node))
}

/// The node that a handle names behind its `@`, and the name or id under which it is known now.
///
/// Our own home counts under the name that it gives itself: whoever lives there sees that name in
/// their own handle, and its people need no DNS to find each other. Any other name has to be looked
/// up. That a contact's link or record calls a node so proves nothing: with a name that somebody else
/// is known by, a hostile node would get the requests that are meant for that one.
async fn find_node(own: &Identity, at: &str, resolver: &impl Resolver) -> Result<(NodeId, String)> {
    if let Ok(id) = at.parse::<NodeId>() {
        return Ok((id, id.to_string()));
    }
    if !at.is_empty() && at == own.home.name {
        return Ok((own.home.node, at.to_owned()));
    }
    let name = names::checked(at)?;
    Ok((names::node(resolver, &name).await?, name))
}

/// The binding of the handle that was asked for, as `node` signed it.
fn bound_handle(
    own: &Identity,
    records: &Records,
    handle: &Handle,
    node: &NodeId,
) -> Result<HandleRecord> {
    let wrong = |why: &str| Error::untrusted("the answer to the look-up", why);
    let signed = records.handle.as_ref().ok_or_else(|| wrong("it names no handle"))?;
    let bound = signed.open(&own.network)?;
    if bound.handle != *handle {
        return Err(wrong("it is another handle's"));
    }
    if contacts::is_released(&bound) {
        return Err(wrong("the handle was released and is nobody's"));
    }
    if bound.node != *node {
        return Err(wrong("another node than the one that was asked signed it"));
    }
    if bound.node != records.record.open(&own.network)?.home {
        return Err(wrong("the account is homed elsewhere"));
    }
    Ok(bound)
}
