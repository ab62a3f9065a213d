//! Results of earlier runs: read back, compared, and set beside what others need.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use postroad_cli::{CliError, Column, Exit, Printer, Row};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bench::{self, Material};
use crate::lines::SECTIONS;
use crate::workload::IDLE;

/// Bytes of a body in the workloads as they are defined.
const SIZE: u64 = 256;

/// Fields that tell runs apart.
const APART: [&str; 4] = ["seed", "size", "window", "load_before"];

/// The numbers of some runs by workload and field.
pub(crate) type Figures = BTreeMap<(String, String), Vec<f64>>;

/// Two results side by side.
pub(crate) fn compare(before: &Path, after: &Path, printer: &Printer) -> Result<(), CliError> {
    let (before, after) = (figures(&[before])?, figures(&[after])?);
    let both = before.iter().filter_map(|(key, then)| {
        let (then, now) = (median(then)?, median(after.get(key)?)?);
        let change_percent = (then != 0.0).then(|| ((now / then - 1.0) * 1000.0).round() / 10.0);
        let (workload, field) = key.clone();
        Some(Change { workload, field, before: then, after: now, change_percent })
    });
    printer.rows(&both.collect::<Vec<_>>(), "these results have no workload in common")
}

/// Medians of all runs in a Markdown table, beside figures of other servers; or all of it as files.
pub(crate) fn report(
    paths: &[PathBuf],
    out: Option<&Path>,
    printer: &Printer,
) -> Result<(), CliError> {
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let material = material(&paths)?;
    if let Some(out) = out {
        bench::write(&material, out)?;
        printer.hint(&format!("wrote report.md and report.json into {}", out.display()));
        return Ok(());
    }
    let figures = &material.figures;
    let mut medians: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for ((workload, field), values) in figures {
        if let Some(value) = median(values) {
            medians.entry(workload).or_default().insert(field, value);
        }
    }
    let lines: Vec<_> = SECTIONS.iter().flat_map(|(_, lines)| lines.iter().copied()).collect();
    printer.object(&medians, || bench::table(&material, &lines, false))
}

/// A field of two results.
#[derive(Serialize)]
struct Change {
    workload: String,
    field: String,
    before: f64,
    after: f64,
    change_percent: Option<f64>,
}

impl Row for Change {
    const COLUMNS: &'static [Column] = &[
        Column::text("WORKLOAD"),
        Column::text("FIELD"),
        Column::number("BEFORE"),
        Column::number("AFTER"),
        Column::number("CHANGE"),
    ];

    fn cells(&self) -> Vec<String> {
        let change = self.change_percent.map_or(String::new(), |percent| format!("{percent:+} %"));
        let (before, after) = (self.before.to_string(), self.after.to_string());
        vec![self.workload.clone(), self.field.clone(), before, after, change]
    }
}

/// The middle value, the lower of two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn figures(paths: &[&Path]) -> Result<Figures, CliError> {
    Ok(material(paths)?.figures)
}

/// Reads files of one or more results each, and of what `tests/bench` puts beside them: each line
/// says what it is by what it has.
fn material(paths: &[&Path]) -> Result<Material, CliError> {
    let mut material = Material::default();
    for path in paths {
        for result in read(path)? {
            if result.contains_key("server") {
                material.peers.add(&result);
            } else if result.contains_key("bench") {
                material.micro.push(result);
            } else if result.contains_key("instructions") {
                material.instructions.push(result);
            } else if let Some(Value::Object(machine)) = result.get("machine") {
                material.machine = machine.clone();
            } else {
                add(&mut material.figures, &result);
                material.runs.push(result);
            }
        }
    }
    Ok(material)
}

fn add(figures: &mut Figures, run: &Map<String, Value>) {
    let workload = workload_of(run);
    // A number that tells runs apart is no figure.
    let fields = run.iter().filter(|(name, _)| !APART.contains(&name.as_str()));
    for (name, value) in fields.filter_map(|(name, value)| Some((name, value.as_f64()?))) {
        figures.entry((workload.clone(), name.clone())).or_default().push(value);
    }
}

/// The workload's name, and what of it is not the usual.
pub(crate) fn workload_of(result: &Map<String, Value>) -> String {
    let mut name = result.get("workload").and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |field: &str| result.get(field).and_then(Value::as_u64);
    let differs = match name.as_str() {
        "w1" => number("users").filter(|users| *users != IDLE as u64),
        "restart" => number("stored"),
        _ => number("size").filter(|size| *size != SIZE),
    };
    name.extend(differs.map(|differs| format!("-{differs}")));
    if result.get("client_to_node_bytes").is_some_and(|bytes| !bytes.is_null()) {
        name.extend(number("window").map(|window| format!("-wire-{window}")));
    }
    name
}

pub(crate) fn read(path: &Path) -> Result<Vec<Map<String, Value>>, CliError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let text = format!("cannot read {shown}: {error}");
        CliError::new(Exit::NotFound, "no_result", text, "postroad-load run --json > A.json")
    })?;
    let results = serde_json::Deserializer::from_str(&text).into_iter();
    results.collect::<Result<Vec<_>, _>>().map_err(|error| {
        let text = format!("{shown} is no result: {error}");
        CliError::failed("no_result", text, "postroad-load run --json > A.json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[5.0, 1.0]), Some(1.0));
    }
}
