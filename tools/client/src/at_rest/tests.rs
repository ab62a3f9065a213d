//! What passphrases do to a profile, and what a kill in between leaves of it.

use std::fs;

use super::*;

const OLD: &str = "correct horse";
const NEW: &str = "battery staple";

/// A profile with a setting in it by which it is known again.
fn profile(directory: &Path) -> Lock {
    let mut client = Client::open(directory).unwrap();
    client.lock_after(Duration::from_secs(77)).unwrap();
    Lock::of(directory)
}

fn set(lock: &Lock, old: &str, new: &str, until: Step) {
    let [old, new] = [old, new].map(|text| (!text.is_empty()).then(|| Passphrase::from(text)));
    let new = new.as_ref().map(|new| (new, Cost::TEST));
    lock.set_until(old.as_ref(), new, until).unwrap();
}

/// Whether the profile opens with exactly this one of all passphrases, and has all that it had.
fn opens_with(lock: &Lock, wanted: &str) -> bool {
    let opens = |text: &str| match text {
        "" => Client::open(&lock.directory),
        text => Client::open_with(&lock.directory, &text.into()),
    };
    let mut client = opens(wanted).unwrap();
    assert_eq!(client.idle().unwrap(), Duration::from_secs(77));
    drop(client);
    let others = ["", OLD, NEW].into_iter().filter(|text| *text != wanted);
    // Without a passphrase any one is as good as none.
    wanted.is_empty() || others.into_iter().all(|text| opens(text).is_err())
}

#[test]
fn a_kill_at_any_step_leaves_the_old_passphrase_or_the_new_one() {
    for (old, new) in [("", NEW), (OLD, NEW), (OLD, "")] {
        for until in [Step::Key, Step::Database, Step::Decided, Step::All] {
            let directory = tempfile::tempdir().unwrap();
            let lock = profile(directory.path());
            if !old.is_empty() {
                set(&lock, "", old, Step::All);
            }
            set(&lock, old, new, until);
            let wanted = if until < Step::Decided { old } else { new };
            assert!(opens_with(&lock, wanted), "{old:?} to {new:?} until {until:?}");
            let names = fs::read_dir(directory.path()).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            assert!(!names.into_iter().any(|name| name.contains(".new")), "all is mended");
            assert_eq!(lock.is_set().unwrap(), !wanted.is_empty());
        }
    }
}

#[test]
fn a_kill_while_the_copy_is_written_changes_nothing() {
    for torn in [0, 100, 5000] {
        let directory = tempfile::tempdir().unwrap();
        let lock = profile(directory.path());
        set(&lock, "", NEW, Step::Database);
        let copy = directory.path().join("pouch.db.new");
        let bytes = fs::read(&copy).unwrap();
        fs::write(&copy, &bytes[..torn]).unwrap();
        fs::write(directory.path().join("pouch.db.new-journal"), b"x").unwrap();
        let key = directory.path().join("key.new");
        fs::write(&key, &fs::read(&key).unwrap()[..torn.min(50)]).unwrap();
        assert!(opens_with(&lock, ""));
        assert!(!copy.exists() && !key.exists());
    }
}

#[test]
fn nothing_changes_with_a_wrong_passphrase_or_while_somebody_has_the_profile_open() {
    let directory = tempfile::tempdir().unwrap();
    let lock = profile(directory.path());
    set(&lock, "", OLD, Step::All);
    let before = fs::read(directory.path().join("key")).unwrap();
    let wrong = lock.set(Some(&NEW.into()), None);
    assert!(matches!(wrong, Err(Error::Storage(StorageError::WrongPassphrase))), "{wrong:?}");
    let none = lock.set(None, None);
    assert!(matches!(none, Err(Error::Storage(StorageError::Locked))), "{none:?}");
    let client = Client::open_with(directory.path(), &OLD.into()).unwrap();
    let in_use = lock.set(Some(&OLD.into()), None);
    assert!(matches!(in_use, Err(Error::Storage(StorageError::InUse))), "{in_use:?}");
    drop(client);
    assert_eq!(fs::read(directory.path().join("key")).unwrap(), before);
    assert!(opens_with(&lock, OLD));
    let mut damaged = before.clone();
    damaged[60] ^= 1;
    fs::write(directory.path().join("key"), &damaged).unwrap();
    let error = Client::open_with(directory.path(), &OLD.into()).map(drop);
    assert!(matches!(error, Err(Error::Storage(StorageError::Key(_)))), "{error:?}");
    assert_eq!(fs::read(directory.path().join("key")).unwrap(), damaged, "it is left as it is");
}

#[test]
fn another_client_needs_no_passphrase_and_all_hear_of_a_lock() {
    let directory = tempfile::tempdir().unwrap();
    let lock = profile(directory.path());
    let plain = Client::open(directory.path()).unwrap();
    lock.close().unwrap();
    assert!(!plain.was_locked(), "there is nothing to lock");
    drop(plain);
    set(&lock, "", OLD, Step::All);
    let client = Client::open_with(directory.path(), &OLD.into()).unwrap();
    let mut another = client.another().unwrap();
    assert!(!another.was_locked());
    assert_eq!(another.idle().unwrap(), Duration::from_secs(77));
    lock.close().unwrap();
    assert!(client.was_locked() && another.was_locked());
}

#[tokio::test]
async fn who_waits_for_something_ends_when_the_profile_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let lock = profile(directory.path());
    set(&lock, "", OLD, Step::All);
    let mut client = Client::open_with(directory.path(), &OLD.into()).unwrap();
    assert!(client.own_connection().unwrap());
    lock.close().unwrap();
    let ended = client.step(Duration::from_secs(9)).await;
    assert!(matches!(ended, Err(Error::Storage(StorageError::Locked))), "{ended:?}");
    let other = Client::open_with(directory.path(), &OLD.into()).unwrap();
    assert!(!other.is_shared().unwrap(), "the connection is given up");
}

#[test]
fn held_keys_open_the_profile_until_they_are_forgotten_or_their_time_is_over() {
    if !Lock::can_hold() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let lock = profile(directory.path());
    assert!(matches!(lock.open(&OLD.into()), Err(Error::Impossible(_))));
    set(&lock, "", OLD, Step::All);
    assert!(!lock.is_open().unwrap());
    let wrong = lock.open(&NEW.into());
    assert!(matches!(wrong, Err(Error::Storage(StorageError::WrongPassphrase))), "{wrong:?}");
    assert_eq!(lock.open(&OLD.into()).unwrap(), Duration::from_secs(77));
    let mut client = Client::open(directory.path()).unwrap();
    let at_rest = client.at_rest().unwrap();
    assert!(at_rest.is_protected && !at_rest.is_locked);
    client.used().unwrap();
    lock.close().unwrap();
    assert!(client.at_rest().unwrap().is_locked);
    let locked = Client::open(directory.path()).map(drop);
    assert!(matches!(locked, Err(Error::Storage(StorageError::Locked))), "{locked:?}");
    lock.open(&OLD.into()).unwrap();
    client.lock_after(Duration::from_secs(1)).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while lock.is_open().unwrap() {
        assert!(std::time::Instant::now() < until, "the time is never over");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Another passphrase makes other keys, and those that are held are forgotten.
    client.lock_after(Duration::ZERO).unwrap();
    drop(client);
    lock.open(&OLD.into()).unwrap();
    set(&lock, OLD, NEW, Step::All);
    assert!(!lock.is_open().unwrap());
}
