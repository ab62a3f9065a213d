//! A steward signs an account's record, and nothing else in its name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::arbitrary::SMALL_ORDER;
use common::samples::{
    ALICE_SEED, BOB_SEED, NOW, OLM_SEED, account_record, device_list, key, network, node,
    signed_account_record, signed_device_list, steward_cert, steward_record,
};
use common::unhex;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::ids::Hash;
use postroad_proto::limits::{MAX_ACCOUNT_RECORD, MAX_STEWARD_CERT};
use postroad_proto::record::{AccountRecord, DeviceList, StewardCert};
use postroad_proto::signed::{Purpose, Signable, Signed, SignedError, signature_input};
use postroad_proto::{Signer as _, SigningKey};

fn sign<T: Signable>(value: &T, by: [u8; 32]) -> Signed<T> {
    Signed::new(value, &key(by), &network()).unwrap()
}

fn record_under(cert: &StewardCert) -> Signed<AccountRecord> {
    sign(&steward_record(cert, ALICE_SEED), OLM_SEED)
}

#[test]
fn a_steward_signs_with_a_key_that_is_not_at_hand() {
    let record = steward_record(&steward_cert(), ALICE_SEED);
    let olm: SigningKey = key(OLM_SEED);
    let signed = Signed::new_by(&record, &network(), |input| olm.sign(input).to_bytes()).unwrap();
    assert_eq!(signed, record_under(&steward_cert()));
    let opened = signed.open(&network()).unwrap();
    assert_eq!(opened, record);
    assert_eq!(opened.certificate(), Ok(Some(steward_cert())));
    assert_eq!(account_record().certificate(), Ok(None));
    let other = "other".parse().unwrap();
    assert_eq!(signed.open(&other), Err(SignedError::BadSignature));
}

#[test]
fn a_certificate_counts_up_to_its_last_second() {
    let cert = StewardCert { issued: NOW - 9, expires: NOW, ..steward_cert() };
    assert!(record_under(&cert).open(&network()).is_ok());
    let over = StewardCert { expires: NOW - 1, ..cert };
    let refused = record_under(&over).open(&network());
    assert!(matches!(refused, Err(SignedError::Codec(CodecError::Value(_)))), "{refused:?}");
}

#[test]
fn what_is_in_a_certificates_place_is_checked_like_one() {
    let with = |encoded: Vec<u8>| {
        let record = AccountRecord { steward: Some(encoded.into()), ..account_record() };
        [OLM_SEED, ALICE_SEED].map(|by| sign(&record, by).open(&network()))
    };
    let whole = codec::encode(&sign(&steward_cert(), ALICE_SEED)).unwrap();
    assert!(with(whole.clone())[0].is_ok());
    let trailing = [whole.as_slice(), &[0]].concat();
    let cut = whole[..whole.len() - 1].to_vec();
    let record = codec::encode(&signed_account_record()).unwrap();
    let list = codec::encode(&signed_device_list()).unwrap();
    for encoded in [vec![], vec![1], trailing, cut, record, list] {
        let opened = with(encoded.clone());
        assert!(opened.iter().all(Result::is_err), "{encoded:?}");
    }
    for weak in SMALL_ORDER {
        let weak = Hash(unhex(weak).try_into().unwrap());
        let opened = record_under(&StewardCert { key: weak, ..steward_cert() }).open(&network());
        assert_eq!(opened, Err(SignedError::WeakKey));
    }
}

/// A signed object whose payload and signature are another kind's.
fn taken_for<T: Signable, U: Signable>(signed: &Signed<T>) -> Signed<U> {
    codec::decode(&codec::encode(signed).unwrap(), 8192).unwrap()
}

#[test]
fn neither_key_nor_certificate_serves_for_anything_else() {
    let cert = sign(&steward_cert(), ALICE_SEED);
    assert!(taken_for::<_, AccountRecord>(&cert).open(&network()).is_err());
    assert!(taken_for::<_, DeviceList>(&cert).open(&network()).is_err());
    assert!(taken_for::<_, StewardCert>(&signed_account_record()).open(&network()).is_err());
    // A steward makes no list and no further steward.
    let refused = Err(SignedError::BadSignature);
    assert_eq!(sign(&device_list(), OLM_SEED).open(&network()).map(drop), refused);
    assert_eq!(sign(&steward_cert(), OLM_SEED).open(&network()).map(drop), refused);
    // What the account signed for a record is no certificate, whatever it says.
    let payload = codec::encode(&steward_cert()).unwrap();
    let input = signature_input(Purpose::AccountRecord, &network(), &payload);
    let signature = key(ALICE_SEED).sign(&input).to_bytes();
    let forged = Signed::new_by(&steward_cert(), &network(), |_| signature).unwrap();
    assert_eq!(forged.open(&network()).map(drop), refused);
}

#[test]
fn a_list_has_to_have_the_steward_as_it_stands_in_its_certificate() {
    let fits = |record: &AccountRecord, list: &DeviceList| {
        let devices = sign(list, ALICE_SEED);
        AccountRecord { devices: devices.hash(), ..record.clone() }.fits(&devices, list)
    };
    let record = steward_record(&steward_cert(), ALICE_SEED);
    let list = device_list;
    assert!(fits(&record, &list()));
    assert!(!record.fits(&sign(&DeviceList { seq: 9, ..list() }, ALICE_SEED), &list()));
    let mut without = list();
    without.devices.truncate(1);
    let mut other_key = list();
    other_key.devices[1].olm_signing = Hash([7; 32]);
    let other_epoch = DeviceList { epoch: 2, ..list() };
    for list in [without, other_key, other_epoch] {
        assert!(!fits(&record, &list));
        assert!(fits(&account_record(), &list), "the account's key may name any");
    }
    let bob = postroad_proto::ids::AccountId(key(BOB_SEED).verifying_key().to_bytes());
    let of_bob = DeviceList { account: bob, ..list() };
    let devices = sign(&of_bob, BOB_SEED);
    let record = AccountRecord { devices: devices.hash(), ..account_record() };
    assert!(!record.fits(&devices, &of_bob));
}

#[test]
fn two_backups_two_hints_and_a_certificate_fit_a_record() {
    let cert = StewardCert {
        flags: 0xffff,
        epoch: u64::MAX,
        device: 255,
        issued: 1 << 40,
        expires: u64::MAX,
        ..steward_cert()
    };
    let record = AccountRecord {
        flags: 0xffff,
        epoch: u64::MAX,
        seq: u64::MAX,
        backups: vec![node(); 2],
        hints: vec!["h".repeat(100); 2],
        lookup_key: Some(Hash([1; 32])),
        issued: 1 << 40,
        expires: u64::MAX,
        ..steward_record(&cert, ALICE_SEED)
    };
    let signed = sign(&record, OLM_SEED);
    assert!(signed.open(&network()).is_ok());
    assert!(signed.payload.len() <= MAX_ACCOUNT_RECORD);
    assert!(codec::encode(&cert).unwrap().len() <= MAX_STEWARD_CERT);
}
