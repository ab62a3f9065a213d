//! Where programs keep their data by the XDG rules.

use std::path::PathBuf;

use crate::CliError;

/// `$XDG_DATA_HOME`, or `~/.local/share`.
pub fn data_home() -> Result<PathBuf, CliError> {
    pick(std::env::var_os("XDG_DATA_HOME").map(PathBuf::from), std::env::home_dir()).ok_or_else(
        || {
            CliError::failed(
                "no_home",
                "there is no home directory: neither XDG_DATA_HOME nor HOME is set",
                "set HOME, or name a directory with --data-dir",
            )
        },
    )
}

/// Where all Postroad programs keep their data: `postroad` below [`data_home`].
pub fn data_root() -> Result<PathBuf, CliError> {
    Ok(data_home()?.join("postroad"))
}

/// The XDG rules say that a relative path is to be ignored.
fn pick(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    xdg.filter(absolute).or_else(|| home.filter(absolute).map(|home| home.join(".local/share")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_xdg_rules_hold() {
        let home = Some(PathBuf::from("/home/a"));
        assert_eq!(pick(Some("/data".into()), home.clone()), Some("/data".into()));
        assert_eq!(pick(Some("data".into()), home.clone()), Some("/home/a/.local/share".into()));
        assert_eq!(pick(None, home), Some("/home/a/.local/share".into()));
        assert_eq!(pick(None, None), None);
    }
}
