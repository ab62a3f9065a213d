//! How this device comes to belong to an account that another one made.

use postroad_proto::codec;
use postroad_proto::ids::{DeviceNumber, Millis};
use postroad_proto::limits::MAX_DEADLINE_SECONDS;
use postroad_proto::link::NodeLink;
use postroad_proto::linking::{Grant, NewDevice, SharedSecret};
use postroad_proto::noise;
use postroad_proto::pair;
use postroad_proto::record::OLM_VERSION;
use postroad_proto::token::TokenSecret;
use rusqlite::{Transaction, params};
use serde_bytes::ByteArray;

use super::{Identity, Secrets};
use crate::devices;
use crate::e2e::OwnDevice;
use crate::error::{Error, Result};
use crate::vault::Vault;

/// A device's keys before it has a place in an account. Debug shows none.
pub(crate) struct Newcomer {
    secrets: Secrets,
    olm: OwnDevice,
}

impl core::fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Newcomer(…)")
    }
}

impl Newcomer {
    /// New keys.
    pub(crate) fn generate() -> Self {
        Self { secrets: Secrets::of_new_device(), olm: OwnDevice::generate() }
    }

    /// For the database: sealed secrets and pickle.
    pub(crate) fn store(&self, vault: &Vault) -> Result<(Vec<u8>, String)> {
        Ok((vault.seal(&self.secrets.pickle())?, self.olm.pickle(&vault.pickle_key())))
    }

    /// From [`Self::store`].
    pub(crate) fn load(vault: &Vault, secrets: &[u8], olm: &str) -> Result<Self> {
        let secrets = Secrets::from_pickle(&vault.open_sealed(secrets)?)?;
        Ok(Self { secrets, olm: OwnDevice::unpickle(olm, &vault.pickle_key())? })
    }

    /// What the account's other device is told.
    pub(crate) fn introduce(&self, name: &str) -> Result<NewDevice> {
        Ok(NewDevice {
            noise: noise::public_key(&self.secrets.noise),
            seal: pair::seal_public(&self.secrets.seal)?,
            olm_identity: self.olm.identity(),
            olm_signing: self.olm.signing(),
            olm_version: OLM_VERSION,
            name: name.to_owned(),
        })
    }

    /// Takes its place in the account, and stores all of it.
    ///
    /// # Errors
    /// [`Error::Untrusted`] when what is granted does not hold.
    pub(crate) fn adopt(
        mut self,
        tx: &Transaction<'_>,
        vault: &Vault,
        grant: &Grant,
        now: Millis,
    ) -> Result<Identity> {
        let home: NodeLink = grant.home.parse()?;
        self.check(grant, &home)?;
        self.secrets.tokens = TokenSecret(grant.tokens.0);
        let (secrets, olm) = self.store(vault)?;
        tx.execute(
            "INSERT INTO identity (id, network, account, device, secrets, olm, home, record,
             devices, handle, max_deadline, registered)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1)",
            params![
                home.network.name(),
                grant.account.0,
                grant.device,
                secrets,
                olm,
                home.to_string(),
                codec::encode(&grant.record)?,
                codec::encode(&grant.devices)?,
                grant.handle.as_ref().map(codec::encode).transpose()?,
                MAX_DEADLINE_SECONDS as i64,
            ],
        )?;
        let own = Identity::load(tx, vault)?;
        own.store_office(tx, vault, Some(&grant.vault), grant.steward.as_slice())?;
        devices::arrange(tx, &own, &own.devices, now)?;
        Ok(own)
    }

    fn check(&self, grant: &Grant, home: &NodeLink) -> Result<()> {
        let wrong = |why: &str| Err(Error::untrusted("what the other device grants", why));
        let record = grant.record.open(&home.network)?;
        let list = grant.devices.open(&home.network)?;
        if record.account != grant.account || list.account != grant.account {
            return wrong("record and list are not the account's");
        }
        if !record.fits(&grant.devices, &list) || record.home != home.node {
            return wrong("record, list and home do not belong together");
        }
        let own = self.introduce("")?;
        let keys = (own.noise, own.seal, own.olm_identity, own.olm_signing);
        let is_ours = list
            .device(grant.device)
            .is_some_and(|d| (d.noise, d.seal, d.olm_identity, d.olm_signing) == keys);
        if is_ours { Ok(()) } else { wrong("the list does not have this device's keys") }
    }
}

impl Identity {
    /// What a device is granted that has been given a place.
    pub(crate) fn grant(
        &self,
        device: DeviceNumber,
        invite: Option<[u8; 16]>,
        now: Millis,
    ) -> Result<Grant> {
        let steward = self.certify(now)?.into_iter().find(|(number, _)| *number == device);
        Ok(Grant {
            account: self.account,
            device,
            home: self.home.to_string(),
            record: self.record.clone(),
            devices: self.devices.clone(),
            handle: self.handle.clone(),
            tokens: SharedSecret(self.tokens().0),
            invite: invite.map(ByteArray::new),
            vault: self.vault_key()?.ok_or(Error::NotRoot)?,
            steward: steward.map(|(_, cert)| cert),
        })
    }
}
