//! The documents and the code say the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Frame;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path.to_str().unwrap(), ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Cells of the rows of all tables in `text`.
fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    text.lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

/// The value of a product such as `64 * 1024` or `30 * 86_400`.
fn product(text: &str) -> u64 {
    text.split('*').map(|n| n.trim().replace('_', "").parse::<u64>().unwrap()).product()
}

#[test]
fn every_limit_is_listed_with_its_value() {
    let listed: BTreeMap<String, String> = rows(&read("spec/limits.md"))
        .into_iter()
        .filter(|row| row[0].starts_with('`'))
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
        .collect();
    let mut defined = BTreeMap::new();
    for line in read("src/limits.rs").lines() {
        if let Some(rest) = line.strip_prefix("pub const ") {
            let (name, rest) = rest.split_once(':').unwrap();
            let (_, value) = rest.trim_end_matches(';').split_once('=').unwrap();
            defined.insert(name.to_owned(), product(value).to_string());
        }
    }
    assert!(defined.len() > 20, "limits.rs was not understood");
    assert_eq!(listed, defined);
}

#[test]
fn every_error_is_listed() {
    let listed: Vec<Vec<String>> = rows(&read("spec/errors.md"))
        .into_iter()
        .filter(|row| row[0].parse::<u64>().is_ok())
        .map(|row| row[..3].to_vec())
        .collect();
    let defined: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retriable = if code.retriable() { "yes" } else { "no" };
            vec![code.number().to_string(), code.name().to_owned(), retriable.to_owned()]
        })
        .collect();
    assert_eq!(listed, defined);
}

#[test]
fn every_error_that_a_document_names_exists() {
    let known = |word: &str| ErrorCode::ALL.iter().any(|code| code.name() == word);
    for document in FRAMES {
        for line in read(document).lines().filter(|line| line.starts_with("**Errors:**")) {
            let words = line.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
            for word in words.filter(|word| word.len() > 3 && *word != "INVITE_") {
                assert!(known(word), "{word} in: {line}");
            }
        }
    }
}

/// The documents that describe frames.
const FRAMES: [&str; 2] = ["spec/client.md", "spec/node.md"];

/// Frames that a document describes, in its order.
fn frames_in(document: &str) -> Vec<(String, u8)> {
    read(document)
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter_map(|heading| heading.split_once(' '))
        .filter_map(|(number, name)| {
            Some((name.trim_matches('`').to_owned(), number.parse().ok()?))
        })
        .collect()
}

#[test]
fn every_frame_is_listed_with_its_number_in_one_document() {
    let (between_nodes, others): (Vec<_>, Vec<_>) = Frame::KINDS
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number))
        .partition(|(_, number)| (32..64).contains(number));
    assert_eq!(frames_in("spec/client.md"), others);
    assert_eq!(frames_in("spec/node.md"), between_nodes);
}

/// Key names of every key table, by the structure in the heading above it.
fn key_tables() -> BTreeMap<String, Vec<(String, String)>> {
    let mut tables = BTreeMap::new();
    for file in files("spec", ".md") {
        let mut structure = None;
        let mut in_table = false;
        for line in read(&file).lines() {
            if line.starts_with('#') {
                structure = line.split('`').nth(1).map(str::to_owned);
            }
            if line.starts_with("| key | name |") {
                let Some(name) = structure.clone() else { continue };
                in_table = tables.insert(name.clone(), Vec::new()).is_none();
                assert!(in_table, "two tables of {name}");
            } else if !line.starts_with('|') {
                in_table = false;
            } else if in_table && !line.starts_with("|--") {
                let row = rows(line).remove(0);
                let fields = tables.get_mut(structure.as_ref().unwrap()).unwrap();
                // A file for people has names in place of numbers.
                let numbered = structure.as_deref() != Some("NetworkDefinition");
                let key = if numbered { fields.len().to_string() } else { "-".to_owned() };
                assert_eq!(row[0], key, "keys of {structure:?}");
                fields.push((row[1].clone(), row[2].trim_matches('`').to_owned()));
            }
        }
    }
    tables
}

/// Fields of every structure that is written to a wire, in order: those that derive `Serialize`.
fn structures() -> BTreeMap<String, Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    for file in files("src", ".rs") {
        let text = read(&file);
        let text = text.split("#[cfg(test)]").next().unwrap();
        let mut open: Option<(String, usize)> = None;
        let mut serialized = false;
        let mut optional = false;
        for line in text.lines() {
            let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
            let frame = line.split_once(" = ").is_some_and(|(_, n)| {
                n.trim_end_matches(" {").parse::<u8>().is_ok() && n.ends_with('{')
            });
            if line.starts_with("#[derive(") {
                serialized = line.contains("Serialize");
            } else if frame {
                let name = line.split(' ').next().unwrap().to_owned();
                open = Some((name.clone(), indent));
                found.insert(name, Vec::new());
            } else if let Some(rest) = line.trim_start_matches("pub ").strip_prefix("struct ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                if serialized && line.ends_with('{') && !rest.contains("$name") {
                    open = Some((name.clone(), indent));
                    found.insert(name, Vec::new());
                } else if serialized && line.ends_with("{}") {
                    found.insert(name, Vec::new());
                }
                serialized = false;
            } else if line == "}" && open.as_ref().is_some_and(|(_, at)| *at == indent) {
                open = None;
            } else if line.contains("skip_serializing_if") || line == "#[serde(skip)]" {
                optional = true;
            } else if let (Some((name, _)), false) = (&open, line.starts_with(['/', '#'])) {
                let (field, kind) = line.trim_start_matches("pub ").split_once(": ").unwrap();
                let kind = kind.trim_end_matches(',').to_owned();
                if !kind.starts_with("PhantomData") {
                    let kind = if optional { format!("optional {kind}") } else { kind };
                    found.get_mut(name).unwrap().push((field.to_owned(), kind));
                }
                optional = false;
            }
        }
    }
    found
}

/// A Rust type in the notation of `spec/encoding.md`.
fn notation(kind: &str) -> String {
    let inner = |prefix: &str| {
        kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>')).map(str::to_owned)
    };
    if let Some(kind) = kind.strip_prefix("optional Option<") {
        return format!("{}, optional", notation(kind.strip_suffix('>').unwrap()));
    }
    if let Some(kind) = kind.strip_prefix("optional ") {
        return format!("{}, optional", notation(kind));
    }
    if let Some(kind) = inner("Option<") {
        return format!("{} or null", notation(&kind));
    }
    if let Some(kind) = inner("Vec<") {
        return format!("[{}]", notation(&kind));
    }
    if let Some(kind) = inner("Signed<") {
        return format!("signed {}", notation(&kind));
    }
    if let Some(length) = inner("ByteArray<") {
        return format!("bytes({length})");
    }
    if let Some(length) = kind.strip_prefix("[u8; ").and_then(|rest| rest.strip_suffix(']')) {
        return format!("bytes({length})");
    }
    if let Some((one, two)) = kind.strip_prefix('(').and_then(|k| k.split_once(", ")) {
        return format!("({}, {})", notation(one), notation(two.trim_end_matches(')')));
    }
    let plain = match kind.rsplit("::").next().unwrap() {
        "u64" | "u32" | "Millis" | "ErrorCode" => "uint",
        "DeviceNumber" => "u8",
        "String" | "Handle" | "Network" => "text",
        "Blob" => "bytes",
        "AccountId" | "NodeId" | "Hash" | "EphemeralSecret" | "LinkSecret" | "SharedSecret"
        | "VaultKey" => "bytes(32)",
        "ParcelId" | "MessageId" | "ConversationId" | "DeliveryToken" | "InviteCode" => "bytes(16)",
        "Label" => "bytes(8)",
        other => other,
    };
    plain.to_owned()
}

#[test]
fn every_structure_has_its_key_table() {
    let mut tables = key_tables();
    // It has no keys, and no table.
    tables.insert("Introduction".to_owned(), Vec::new());
    let structures: BTreeMap<String, Vec<(String, String)>> = structures()
        .into_iter()
        // It travels as its name.
        .filter(|(name, _)| name != "Network")
        .map(|(name, fields)| {
            (name, fields.into_iter().map(|(field, kind)| (field, notation(&kind))).collect())
        })
        .collect();
    assert!(structures.len() > 40, "the sources were not understood: {structures:?}");
    assert_eq!(
        tables.keys().collect::<Vec<_>>(),
        structures.keys().collect::<Vec<_>>(),
        "structures with a key table, and structures in the code"
    );
    for (name, fields) in structures {
        assert_eq!(tables[&name], fields, "{name}");
    }
}

#[test]
fn every_document_has_its_version_on_the_first_line_and_is_on_the_map() {
    let map = read("spec/README.md");
    for file in files("spec", ".md") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(read(&file).starts_with("Postroad protocol, version 1: "), "{name}");
        assert!(name == "README.md" || map.contains(&format!("]({name})")), "{name}");
    }
    let vectors = read("vectors/README.md");
    for file in files("vectors", ".json") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(vectors.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_purpose_and_context_is_in_a_document() {
    let documents: String = files("spec", ".md").iter().map(read).collect();
    let mut seen = 0;
    for file in files("src", ".rs") {
        for text in read(&file).split("\"postroad v1 ").skip(1) {
            let text = format!("postroad v1 {}", text.split('"').next().unwrap());
            assert!(documents.contains(&text), "{text:?} is in no document");
            seen += 1;
        }
    }
    assert!(seen >= 15, "the sources were not understood");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for file in files("spec", ".md").into_iter().chain(files("vectors", ".md")) {
        for target in read(&file).split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap();
            let path = file.parent().unwrap().join(target);
            assert!(path.exists(), "{} names {target}", file.display());
        }
    }
}
