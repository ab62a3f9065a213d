//! Made-up users: keys drawn from a seed, one device each.

use std::net::Ipv4Addr;

use futures::{StreamExt, TryStreamExt, stream};
use postroad_proto::SigningKey;
use postroad_proto::frame::{Register, TokensPut};
use postroad_proto::ids::AccountId;
use postroad_proto::noise::{self, NoiseSecret};
use postroad_proto::record::{AccountRecord, Device, DeviceList, OLM_VERSION, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, TokenEntry};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::error::LoadError;
use crate::message::Recipient;
use crate::session::{Place, Session};

/// Source addresses, 127.0.0.2 and following: a node counts strangers by address.
const SOURCES: u32 = 64;
/// Logins under way at once: keeps below what a node takes from all strangers together.
pub(crate) const LOGINS: usize = 32;
/// Messages an hour under the token that a user gives out: no limit that a run could meet.
const RATE: u64 = 3_600_000_000;

/// Somebody with an account.
#[derive(Debug)]
pub(crate) struct User {
    /// Its number in this run.
    pub(crate) index: u32,
    pub(crate) place: Place,
    account: AccountId,
    signing: SigningKey,
    noise: NoiseSecret,
    /// Whoever has it may write to this user: all the others of the run.
    token: DeliveryToken,
}

impl User {
    /// The next user that a seed gives, homed at `place`.
    pub(crate) fn draw(random: &mut ChaCha8Rng, index: u32, place: &Place) -> Self {
        let (mut signing, mut secret, mut token) = ([0; 32], [0; 32], [0; 16]);
        random.fill_bytes(&mut signing);
        random.fill_bytes(&mut secret);
        random.fill_bytes(&mut token);
        let signing = SigningKey::from_bytes(&signing);
        Self {
            index,
            place: place.clone(),
            account: AccountId(signing.verifying_key().to_bytes()),
            signing,
            noise: NoiseSecret(secret),
            token: DeliveryToken(token),
        }
    }

    /// Where messages to this user go.
    pub(crate) fn recipient(&self) -> Recipient<'_> {
        Recipient { home: self.place.node, account: self.account, token: &self.token }
    }

    fn source(&self) -> Option<Ipv4Addr> {
        let last = 2 + (self.index % SOURCES) as u8;
        self.place.address.ip().is_loopback().then(|| Ipv4Addr::new(127, 0, 0, last))
    }

    /// Logs in.
    pub(crate) async fn login(&self) -> Result<Session, LoadError> {
        Session::open(&self.place, self.source(), &self.noise, Some(self.account)).await
    }

    /// Makes the account, and lets the others write to it.
    async fn register(&self) -> Result<Session, LoadError> {
        let mut session = Session::open(&self.place, self.source(), &self.noise, None).await?;
        let (record, devices) = self.records()?;
        let (invite, handle, proof) = (None, None, None);
        let register = Register { request: 1, invite, handle, record, devices, proof };
        session.ask("an account", 1, register).await?;
        let hash = self.token.hash();
        let entry = TokenEntry { hash, label: [1; 8], rate: RATE, byte_share: 100, expires: 0 };
        session.ask("a token", 2, TokensPut { request: 2, tokens: vec![entry] }).await?;
        Ok(session)
    }

    fn records(&self) -> Result<(Signed<AccountRecord>, Signed<DeviceList>), LoadError> {
        let noise = noise::public_key(&self.noise);
        let device = Device {
            number: 1,
            noise,
            seal: noise,
            olm_identity: noise,
            olm_signing: noise,
            olm_version: OLM_VERSION,
            rights: 0,
            added: 0,
        };
        let list = DeviceList {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account,
            epoch: 0,
            seq: 1,
            devices: vec![device],
        };
        let devices = Signed::new(&list, &self.signing, &self.place.network)?;
        let record = AccountRecord {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account,
            epoch: 0,
            seq: 1,
            previous: None,
            home: self.place.node,
            backups: vec![],
            hints: vec![],
            devices: devices.hash(),
            lookup_key: None,
            issued: 0,
            expires: u64::MAX,
            steward: None,
        };
        Ok((Signed::new(&record, &self.signing, &self.place.network)?, devices))
    }
}

/// Makes accounts for all, and ends the sessions.
pub(crate) async fn register_all(users: &[User]) -> Result<(), LoadError> {
    let registered = stream::iter(users.iter().map(User::register)).buffer_unordered(LOGINS);
    registered.map_ok(drop).try_collect().await
}

/// Logs all in; the sessions are in the order of the users.
pub(crate) async fn login_all(users: &[User]) -> Result<Vec<Session>, LoadError> {
    stream::iter(users.iter().map(User::login)).buffered(LOGINS).try_collect().await
}
