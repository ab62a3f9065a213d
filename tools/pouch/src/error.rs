//! The SDK's errors as people and scripts see them: what happened, why, what to type next.

use postroad_cli::{CliError, Exit};
use postroad_client::{BackupError, ConnectionError, Error, NameError, StorageError};
use postroad_proto::error::ErrorCode;

/// Turns an error of the SDK into one that says what to do.
pub(crate) fn explain(error: Error) -> CliError {
    let message = error.to_string();
    match &error {
        Error::NotJoined => {
            CliError::failed("not_joined", message, "pouch join LINK, with a node's invitation")
        }
        Error::AlreadyJoined { .. } => CliError::failed(
            "already_joined",
            message,
            "pouch --profile NAME join LINK makes another account",
        ),
        Error::NotFound { what, .. } => {
            let hint = match *what {
                "device" => "pouch device ls lists the account's devices",
                "message" => "pouch --json read CHAT and pouch -o wide read CHAT show ids",
                "request of" => "pouch requests lists who asks",
                "invite of that" => "pouch contact invites lists your links",
                _ => "pouch contact ls lists contacts; pouch contact add LINK adds one",
            };
            CliError::new(Exit::NotFound, "not_found", message, hint)
        }
        Error::Yourself => {
            CliError::failed("yourself", message, "name somebody else; pouch contact ls lists them")
        }
        Error::TooLarge { .. } => {
            CliError::failed("too_large", message, "send it in parts; nothing of it was stored")
        }
        Error::NameTaken(_) => {
            CliError::failed("name_taken", message, "choose another with --name NAME")
        }
        Error::BadName(..) => CliError::usage(message, "choose another name"),
        Error::Blocked(name) => CliError::new(
            Exit::Denied,
            "blocked",
            message,
            format!("pouch contact unblock {name:?} takes them back"),
        ),
        Error::Unanswered(name) => CliError::new(
            Exit::Denied,
            "unanswered",
            message,
            format!("pouch requests accept {name:?}"),
        ),
        Error::Impossible(_) => CliError::usage(
            message,
            "pouch -o wide read CHAT shows ids, and --help what a command takes",
        ),
        Error::Link(_) => CliError::usage(message, "copy the whole link, in quotes"),
        Error::WrongNetwork { .. } => {
            CliError::failed("wrong_network", message, "use a profile of that network")
        }
        Error::NotRoot => CliError::new(
            Exit::Denied,
            "no_account_key",
            message,
            "do it on the device on which the account was made",
        ),
        Error::TooManyDevices => {
            CliError::failed("too_many_devices", message, "pouch device ls; pouch device revoke N")
        }
        Error::LinkOver => {
            CliError::failed("link_over", message, "pouch device link on the other device, again")
        }
        Error::LinkRefused(_) => {
            CliError::new(Exit::Denied, "link_refused", message, "pouch device link --anew there")
        }
        Error::LinkUnfinished => CliError::failed(
            "link_unfinished",
            message,
            "the same pouch device join LINK goes on; on the other device pouch device link",
        ),
        Error::RestoreUnfinished => {
            CliError::failed("restore_unfinished", message, "the same pouch restore goes on")
        }
        Error::NotThere => CliError::new(
            Exit::NotFound,
            "not_there",
            message,
            "are these the right words, and is it the account's node, or an earlier one of its?",
        ),
        Error::Phrase(_) => {
            CliError::usage(message, "the words as pouch backup phrase showed them")
        }
        Error::NoAccount => CliError::new(
            Exit::Denied,
            "no_account",
            message,
            "ask the operator; pouch --profile NAME join LINK makes another account",
        ),
        Error::NotNow(_) => CliError::failed("not_now", message, "then the same command again"),
        Error::Deleted => CliError::new(
            Exit::Denied,
            "deleted",
            message,
            "pouch join LINK makes another account in this profile",
        ),
        Error::Untrusted { .. } => CliError::failed(
            "untrusted",
            message,
            "nothing of it was used; ask for a fresh link, and tell the node's operator",
        ),
        Error::HandleChanged { was, .. } => CliError::failed(
            "handle_changed",
            message,
            format!(
                "pouch send {was:?} goes on writing to the account that you know; for the other \
                 one ask its owner for a contact link: pouch contact add LINK"
            ),
        ),
        Error::NodeChanged { was, now, .. } => CliError::failed(
            "node_changed",
            message,
            format!(
                "ask its operator which is right, and type handle@{was} or handle@{now} instead of \
                 the name"
            ),
        ),
        Error::Name(name) => unnamed(name, message),
        Error::Refused { code, .. } => refused(*code, message),
        Error::Connection(connection) => unreachable(connection, message),
        Error::Storage(storage) => stored(storage, message),
        Error::Backup(backup) => backed_up(backup, message),
        Error::Codec(_) | Error::Pair(_) => {
            CliError::failed("internal", message, "this is a bug; please report it")
        }
    }
}

fn refused(code: ErrorCode, message: String) -> CliError {
    let (exit, word, hint) = match code {
        ErrorCode::InviteUsed => {
            (Exit::Denied, "invite_used", "it was used as often as it may be: ask for a new one")
        }
        ErrorCode::InviteExpired => {
            (Exit::Denied, "invite_expired", "its time is over: ask for a new one")
        }
        ErrorCode::InviteRevoked => {
            (Exit::Denied, "invite_revoked", "it was taken back: ask for a new one")
        }
        ErrorCode::InviteUnknown => (
            Exit::Denied,
            "invite_unknown",
            "the node does not know it (yet): was all of it copied? else ask for a new one",
        ),
        ErrorCode::Taken => (Exit::Denied, "taken", "that handle is somebody else's: --name OTHER"),
        ErrorCode::NotFound => (Exit::NotFound, "not_found", "is the handle spelt right?"),
        ErrorCode::Denied => {
            (Exit::Denied, "denied", "ask the other side for a fresh link, or the operator why")
        }
        ErrorCode::Unroutable => {
            (Exit::Unreachable, "unroutable", "no way to that node is known now; try again later")
        }
        ErrorCode::Moved => {
            (Exit::Failed, "moved", "ask them for their new handle, or for a contact link")
        }
        ErrorCode::Version => {
            (Exit::Failed, "version", "update pouch, or ask for the node's update")
        }
        ErrorCode::Network => (Exit::Failed, "network", "the link belongs to another network"),
        other if other.retriable() => (Exit::Failed, "busy", "try again in a while"),
        _ => (Exit::Failed, "refused", "pouch -vv shows more"),
    };
    CliError::new(exit, word, message, hint)
}

fn unnamed(error: &NameError, message: String) -> CliError {
    let link = "or ask for a contact link, which needs no name";
    match error {
        NameError::NoName(_) => {
            CliError::usage(message, format!("handle@road.example, handle@NODE-ID, {link}"))
        }
        NameError::NoRecord(_) => CliError::new(
            Exit::NotFound,
            "unknown_name",
            message,
            format!("is it spelt right? handle@NODE-ID works without a name; {link}"),
        ),
        NameError::BadRecord { .. } => CliError::failed(
            "bad_name_record",
            message,
            format!("tell its operator; handle@NODE-ID works without a name; {link}"),
        ),
        NameError::Several { .. } => CliError::failed(
            "ambiguous_name",
            message,
            format!("ask its operator for the node's id, then handle@NODE-ID; {link}"),
        ),
        NameError::Unreachable { .. } => CliError::new(
            Exit::Unreachable,
            "dns_unreachable",
            message,
            format!("try again online; handle@NODE-ID and --names FILE need no DNS; {link}"),
        ),
        NameError::List { .. } => CliError::failed(
            "names_file",
            message,
            "mend the line, a name and a node's id, or name another file with --names",
        ),
    }
}

fn unreachable(error: &ConnectionError, message: String) -> CliError {
    let hint = match error {
        ConnectionError::Noise(_) => "somebody else answers at that address; check the link",
        ConnectionError::Yielded => "the same command again",
        ConnectionError::TurnedAway(_) => "check that the link is of this network",
        _ => "is the node running, and this machine online? then the same command again",
    };
    CliError::new(Exit::Unreachable, "unreachable", message, hint)
}

/// What helps where a profile is damaged.
const ANEW: &str = "put all of its files back from a copy, or begin in another --profile: pouch restore (24 words), \
     pouch backup restore FILE, pouch device join LINK";

/// Of the error that says that a profile is locked.
pub(crate) const LOCKED: &str = "locked";

fn stored(error: &StorageError, message: String) -> CliError {
    match error {
        StorageError::Locked => {
            return CliError::new(Exit::Denied, LOCKED, message, "pouch unlock");
        }
        StorageError::WrongPassphrase => {
            let hint =
                "nothing was changed; is the keyboard as it was, and the right profile meant?";
            return CliError::new(Exit::Denied, "wrong_passphrase", message, hint);
        }
        _ => {}
    }
    let (word, hint) = match error {
        StorageError::Full => ("disk_full", "make room; nothing that was stored is lost"),
        StorageError::ReadOnly(_) => (
            "read_only",
            "make it writable; chats, read, export, whoami, why and contact ls work without that",
        ),
        StorageError::Missing(_) => (
            "missing",
            "put the file back, or move the profile's directory away and begin anew: pouch restore, pouch backup \
             restore FILE, pouch device join LINK",
        ),
        StorageError::Corrupt(_) => ("corrupt", ANEW),
        StorageError::Newer { .. } => ("newer", "update pouch"),
        StorageError::Busy => ("busy", "another program keeps the profile busy; try again"),
        StorageError::Key(_) | StorageError::Secret => ("key", ANEW),
        StorageError::InUse => (
            "in_use",
            "pouch agent stop, close every other pouch on this profile, then the same again",
        ),
        StorageError::NoKeyring(_) => {
            ("no_keyring", "each command asks for the passphrase, or takes --passphrase-file FILE")
        }
        StorageError::Passphrase(_) => ("passphrase", "it takes 128 MiB of memory; make room"),
        StorageError::Io { .. } => ("io", "check the rights of the profile's directory"),
        StorageError::Locked
        | StorageError::WrongPassphrase
        | StorageError::Value(_)
        | StorageError::Sqlite(_) => {
            ("storage", "try again; look at the disk with dmesg and df, or report a bug")
        }
    };
    CliError::failed(word, message, hint)
}

fn backed_up(error: &BackupError, message: String) -> CliError {
    let other = "nothing of it was restored; use another copy, or make a new backup";
    let (code, hint) = match error {
        BackupError::NotABackup(_) => ("not_a_backup", "name a file that pouch backup create made"),
        BackupError::Newer { .. } => ("newer", "update pouch"),
        BackupError::OtherKind("a key") => ("other_kind", "--identity FILE, with that key in it"),
        BackupError::OtherKind(_) => {
            ("other_kind", "leave --identity out, and give the passphrase")
        }
        BackupError::WrongKey { .. } => ("wrong_key", "give the one that the backup was made with"),
        BackupError::TooMuchWork { .. } => {
            ("too_much_work", "its first line is damaged, unless you made it so yourself")
        }
        BackupError::Cut(_) => ("cut", other),
        BackupError::Damaged { .. } => ("damaged", other),
        BackupError::Untrusted(_) => ("untrusted", "nothing of it was used; where is it from?"),
        BackupError::OtherAccount { .. } => {
            ("other_account", "name that account's profile with --profile")
        }
        BackupError::NoAccountKey => (
            "key_not_in_backup",
            "pouch device join LINK makes this profile a device of the account, then restore again",
        ),
        BackupError::BadKey(_) => return CliError::usage(message, "pouch backup create --help"),
        BackupError::Exists(_) => ("exists", "name another file: -O FILE"),
        BackupError::Io { source, .. } => {
            return match source.kind() {
                std::io::ErrorKind::NotFound => {
                    CliError::new(Exit::NotFound, "not_found", message, "is the path right?")
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    CliError::failed("disk_full", message, "make room; nothing is left there")
                }
                _ => CliError::failed("io", message, "check the disk and your rights there"),
            };
        }
    };
    CliError::failed(code, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_next_step() {
        for code in ErrorCode::ALL {
            let error = explain(Error::Refused {
                what: "it",
                code: *code,
                detail: String::new(),
                retry_after: 0,
            });
            assert!(!error.hint.is_empty() && error.exit != Exit::Ok, "{error:?}");
        }
        for name in [
            NameError::NoName("a b".to_owned()),
            NameError::NoRecord("a.example".to_owned()),
            NameError::Several { name: "a.example".to_owned(), count: 2 },
            NameError::Unreachable { name: "a.example".to_owned(), why: String::new() },
        ] {
            let error = explain(Error::Name(name));
            assert!(error.hint.contains("contact link"), "{error:?}");
        }
        let used = refused(ErrorCode::InviteUsed, String::new());
        assert_eq!((used.code, used.exit), ("invite_used", Exit::Denied));
    }
}
