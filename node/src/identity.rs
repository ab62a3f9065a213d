//! Who the node is: its keys, kept in one file that only its user may read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use postroad_core::Keys;
use postroad_proto::SigningKey;
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use postroad_proto::noise::NoiseSecret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::server::journal_dir;

/// The node's secrets.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Identity {
    /// Ed25519 seed of the node's key.
    signing: [u8; 32],
    /// X25519 secret of the Noise channel to clients.
    noise: [u8; 32],
    /// Makes request tags and stamps.
    secret: [u8; 32],
}

/// The keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is damaged. Without these keys the node is another node.
    #[error("{0} is damaged; restore it from a backup: without it this is another node")]
    Damaged(PathBuf),
    /// There is a store, but not the key of the node that it belongs to.
    #[error(
        "{0} is missing, but there is mail of a node here; restore the file from a backup, or \
         choose an empty directory for a new node"
    )]
    Missing(PathBuf),
    /// Others may read the file.
    #[error("{0} can be read by others; run: chmod 600 {0}")]
    Exposed(PathBuf),
    /// The data is another network's.
    #[error(
        "{dir} holds a node of the network {held}, not of {asked}: start it with --network {held} \
         (or the file that defines that network), or give a new one its own --data-dir"
    )]
    Network {
        /// The data directory.
        dir: PathBuf,
        /// The name of the network that it belongs to.
        held: String,
        /// That of the one that it was started for.
        asked: String,
    },
    /// The system gives no randomness.
    #[error("no randomness from the system: {0}")]
    Random(getrandom::Error),
}

/// Names the network of a data directory: its records and receipts are signed for that one only.
const NETWORK_FILE: &str = "network";

/// Makes sure that the data in `dir` is of this network; the first start decides. A directory that
/// does not say so yet is older than this rule.
pub(crate) fn belong_to(dir: &Path, network: &Network) -> Result<(), IdentityError> {
    let path = dir.join(NETWORK_FILE);
    let io = |source| IdentityError::Io { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim_end().parse::<Network>() {
            Ok(held) if held == *network => Ok(()),
            Ok(held) => {
                let (held, asked) = (held.to_string(), network.to_string());
                Err(IdentityError::Network { dir: dir.to_owned(), held, asked })
            }
            Err(_) => Err(IdentityError::Damaged(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_private(&path, format!("{network}\n").as_bytes()).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

impl Identity {
    const FILE: &'static str = "node.key";

    /// Reads the keys in `dir`, or makes them if no store was begun there.
    pub(crate) fn open(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(Self::FILE);
        let io = |source| IdentityError::Io { path: path.clone(), source };
        match fs::read(&path) {
            Ok(bytes) => {
                let mode = fs::metadata(&path).map_err(io)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(IdentityError::Exposed(path));
                }
                serde_json::from_slice(&bytes).map_err(|_| IdentityError::Damaged(path.clone()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if journal_dir(dir).exists() {
                    return Err(IdentityError::Missing(path));
                }
                let identity = Self::random()?;
                let text = serde_json::to_vec(&identity)
                    .map_err(|e| io(io::Error::other(e.to_string())))?;
                write_private(&path, &text).map_err(io)?;
                Ok(identity)
            }
            Err(error) => Err(io(error)),
        }
    }

    fn random() -> Result<Self, IdentityError> {
        let mut identity = Self { signing: [0; 32], noise: [0; 32], secret: [0; 32] };
        for part in [&mut identity.signing, &mut identity.noise, &mut identity.secret] {
            getrandom::fill(part).map_err(IdentityError::Random)?;
        }
        Ok(identity)
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId(SigningKey::from_bytes(&self.signing).verifying_key().to_bytes())
    }

    pub(crate) fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.signing)
    }

    pub(crate) fn noise(&self) -> NoiseSecret {
        NoiseSecret(self.noise)
    }

    pub(crate) fn core_keys(&self, network: Network, name: String) -> Keys {
        Keys { signing: self.signing(), secret: self.secret, network, name }
    }
}

/// Writes a file that only its owner may read, whole or not at all, and onto the disk.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A bare file name has the empty path as its parent.
    let named = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = named.unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = parent.join(name);
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_stays_with_its_network() {
        let dir = tempfile::tempdir().unwrap();
        let (own, postroad): (Network, _) = ("own".parse().unwrap(), Network::default());
        belong_to(dir.path(), &own).unwrap();
        belong_to(dir.path(), &own).unwrap();
        let error = belong_to(dir.path(), &postroad).unwrap_err().to_string();
        assert!(error.contains("of the network own, not of postroad"), "{error}");
        assert!(error.contains("--network own"), "{error}");
        fs::write(dir.path().join(NETWORK_FILE), "no network").unwrap();
        let error = belong_to(dir.path(), &own).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged(_)));
    }

    #[test]
    fn a_file_in_the_working_directory_can_be_written() {
        let name = format!("private-{}.test", std::process::id());
        let written = write_private(Path::new(&name), b"x");
        let read = fs::read(&name);
        let _ = fs::remove_file(&name);
        written.unwrap();
        assert_eq!(read.unwrap(), b"x");
    }
}
