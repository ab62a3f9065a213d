//! The end of a log.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// The last lines of a log are looked for in its last part only.
const TAIL_BYTES: u64 = 1 << 20;

/// The last `count` lines.
pub(crate) fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // A part begins in the middle of a line.
    let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    let start = lines.len().saturating_sub(count);
    Ok(lines[start..].iter().map(|&line| line.to_owned()).collect())
}

/// The last lines for an error report; a log that cannot be read says so itself.
pub(crate) fn excerpt(path: &Path, count: usize) -> String {
    match tail(path, count) {
        Ok(lines) if lines.is_empty() => "(the log is empty)".to_owned(),
        Ok(lines) => lines.join("\n"),
        Err(error) => format!("(the log {} cannot be read: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_log_starts_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, text).unwrap();
        assert_eq!(tail(&path, 2).unwrap(), ["line 199998", "line 199999"]);
        let all = tail(&path, usize::MAX).unwrap();
        assert!(all.len() > 50_000 && all[0].starts_with("line "));
        std::fs::write(&path, "").unwrap();
        assert_eq!(excerpt(&path, 5), "(the log is empty)");
    }
}
