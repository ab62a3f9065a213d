//! The one report of many runs: `report.md` for people and `report.json` for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use postroad_cli::CliError;
use serde_json::{Map, Value, json};

use crate::lines::{Line, SECTIONS, number};
use crate::peers::{Measured, PEERS, beside, heads};
use crate::results::{Figures, median};

/// Everything that a report is made of.
#[derive(Debug, Default)]
pub(crate) struct Material {
    /// What was run where, as `tests/bench/run` wrote it down.
    pub(crate) machine: Map<String, Value>,
    pub(crate) runs: Vec<Map<String, Value>>,
    pub(crate) figures: Figures,
    pub(crate) peers: Measured,
    /// Results of criterion.
    pub(crate) micro: Vec<Map<String, Value>>,
    /// What `tests/bench/instructions` counted.
    pub(crate) instructions: Vec<Map<String, Value>>,
}

const FOOT: &str = "
Postroad's figures are medians, with the least and the most beside them; it encrypts and syncs before each ack.
Of the others the figures are plain / TLS, and **none of them syncs before it acks**. CPU per unit is the
figure to compare: rates depend on what else ran, the generator on the same cores included.
";

/// A table of the figures of some sections. Those that were not measured are left out, unless a
/// target says that they should be there.
pub(crate) fn table(material: &Material, lines: &[Line], targets_too: bool) -> String {
    let mut rows = String::new();
    let peers = |line: &Line| beside(line.0, line.1, &material.peers);
    let has_peers = lines.iter().any(|line| peers(line).iter().any(|peer| peer != "–"));
    for line in lines {
        let (workload, field, title, target) = line;
        let peers =
            if has_peers { format!("{} | ", peers(line).join(" | ")) } else { String::new() };
        let values = material.figures.get(&((*workload).to_owned(), (*field).to_owned()));
        let missing = targets_too && target.reached(0.0).is_some();
        let Some(value) = values.and_then(|values| median(values)) else {
            if missing {
                let _ = writeln!(rows, "| {title} | {peers}not run | | | {target} | |");
            }
            continue;
        };
        let values = values.map(Vec::as_slice).unwrap_or_default();
        let (least, most) = spread(values);
        let reached = target.reached(value).map_or("", |yes| if yes { "yes" } else { "**no**" });
        let _ = writeln!(
            rows,
            "| {title} | {peers}**{}** | {} to {} | {} | {target} | {reached} |",
            number(value),
            number(least),
            number(most),
            values.len(),
        );
    }
    if rows.is_empty() {
        return rows;
    }
    let (head, rule) = match has_peers {
        true => (format!("{} | ", heads(&material.peers).join(" | ")), "---|".repeat(PEERS.len())),
        false => (String::new(), String::new()),
    };
    format!(
        "| | {head}**Postroad** | from, to | runs | target | reached |\n\
         |---|{rule}---|---|---|---|---|\n{rows}"
    )
}

/// Writes both files into `out`, where plots may lie already.
pub(crate) fn write(material: &Material, out: &Path) -> Result<(), CliError> {
    let plots = plots(out);
    let save = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| {
            let text = format!("cannot write {}: {error}", path.display());
            CliError::failed("not_written", text, "is there such a directory?")
        })
    };
    save("report.md", markdown(material, &plots))?;
    save("report.json", postroad_cli::json_line(&document(material, &plots)) + "\n")
}

fn markdown(material: &Material, plots: &[String]) -> String {
    let mut text =
        "# What Postroad carries, and what it costs\n\nWritten by `tests/bench/run`.\n\n"
            .to_owned();
    for (name, value) in &material.machine {
        let _ = writeln!(text, "- {}: {}", name.replace('_', " "), plain(value));
    }
    let (mut reached, mut of) = (0, 0);
    for figure in figures(material) {
        of += u32::from(!figure["target"].is_null());
        reached += u32::from(figure["reached"] == true);
    }
    let _ = writeln!(text, "\n{reached} of {of} targets are reached in this report.");
    for (title, lines) in SECTIONS {
        let table = table(material, lines, true);
        let _ = writeln!(
            text,
            "\n## {title}\n\n{}",
            if table.is_empty() { "Not run.\n" } else { &table }
        );
    }
    text.push_str(FOOT);
    runs(&mut text, &material.runs);
    micro(&mut text, &material.micro);
    instructions(&mut text, &material.instructions);
    text.push_str("\n## How costs grow\n\n");
    if plots.is_empty() {
        text.push_str("Not run.\n");
    } else {
        text.push_str("Drawn from `points.jsonl` beside this file: `postroad-load plot points.jsonl --out plots`.\n\n");
    }
    for plot in plots {
        let name = plot.trim_end_matches(".svg");
        let _ = writeln!(text, "![{name}](plots/{plot})");
    }
    text
}

/// Each run by itself: how busy the machine was before it, syncs counted from outside, and what the
/// kill at its end took.
fn runs(text: &mut String, runs: &[Map<String, Value>]) {
    text.push_str("\n## Every run\n\nSyncs are of the phase whose figures count: online, or storing. \
        *Outside* is perf's or strace's count of all fsync-like calls, *node* the node's own of its journal.\n\n\
        | run | began | load before | syncs, outside | syncs, node | accepted before kill -9 | missing after | lost | twice |\n\
        |---|---|---|---|---|---|---|---|---|\n");
    for run in runs {
        let of = |names: &[&str]| {
            let value =
                names.iter().find_map(|name| run.get(*name).filter(|value| !value.is_null()));
            value.map_or("–".to_owned(), plain)
        };
        let counted_by = run.get("syncs_counted_by").map(|by| format!(" ({})", plain(by)));
        let counted_by = counted_by.unwrap_or_default();
        let cells = [
            crate::results::workload_of(run),
            of(&["began"]),
            of(&["load_before"]),
            of(&["fsync_calls", "store_fsync_calls"]) + &counted_by,
            of(&["node_syncs", "store_node_syncs"]),
            of(&["accepted_before_kill"]),
            of(&["missing_after_kill"]),
            of(&["lost"]),
            of(&["duplicated"]),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let uncounted = runs.iter().filter(|run| {
        let of = |name: &str| run.get("workload").is_some_and(|workload| workload == name);
        let counted = |name: &str| run.get(name).is_some_and(|count| !count.is_null());
        let online = of("w2") || of("w4");
        (online && !counted("fsync_calls")) || (of("w3") && !counted("store_fsync_calls"))
    });
    let uncounted = uncounted.count();
    if uncounted > 0 {
        let _ = writeln!(
            text,
            "\n**NOT COUNTED from outside in {uncounted} of these runs: their syncs are the node's own count only.**"
        );
    }
}

fn micro(text: &mut String, micro: &[Map<String, Value>]) {
    text.push_str("\n## Single steps (criterion)\n\n");
    if micro.is_empty() {
        return text.push_str("Not run.\n");
    }
    text.push_str("| step | median | from, to (95 %) |\n|---|---|---|\n");
    for bench in micro {
        let name = bench.get("bench").map(plain).unwrap_or_default();
        let at = |path: &str| {
            bench
                .get("estimates")
                .and_then(|v| v.pointer(path))
                .and_then(Value::as_f64)
                .map_or("–".into(), nanos)
        };
        let (low, high) = (
            at("/median/confidence_interval/lower_bound"),
            at("/median/confidence_interval/upper_bound"),
        );
        let _ = writeln!(text, "| {name} | {} | {low} to {high} |", at("/median/point_estimate"));
    }
}

fn instructions(text: &mut String, paths: &[Map<String, Value>]) {
    if paths.is_empty() {
        return;
    }
    text.push_str("\n## Instructions per message (callgrind)\n\n| path | what | instructions |\n|---|---|---|\n");
    for path in paths {
        let cell = |name: &str| path.get(name).map(plain).unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {} |", cell("path"), cell("what"), cell("per_message"));
    }
}

fn document(material: &Material, plots: &[String]) -> Value {
    json!({
        "machine": material.machine,
        "figures": figures(material),
        "runs": material.runs,
        "micro": material.micro,
        "instructions": material.instructions,
        "plots": plots,
    })
}

fn figures(material: &Material) -> Vec<Value> {
    let lines =
        SECTIONS.iter().flat_map(|(section, lines)| lines.iter().map(move |l| (section, l)));
    let of = |(section, (workload, field, title, target)): (&&str, &Line)| {
        let values = material.figures.get(&((*workload).to_owned(), (*field).to_owned()));
        let values = values.map(Vec::as_slice).unwrap_or_default();
        let bar = target.reached(0.0).is_some();
        if values.is_empty() && !bar {
            return None;
        }
        let (median, (least, most)) = (median(values), spread(values));
        let peers: Map<String, Value> = heads(&material.peers)
            .into_iter()
            .zip(beside(workload, field, &material.peers))
            .filter(|(_, value)| value != "–")
            .map(|(name, value)| (name, value.into()))
            .collect();
        Some(json!({
            "section": section,
            "workload": workload,
            "field": field,
            "title": title,
            "median": median,
            "min": median.map(|_| least),
            "max": median.map(|_| most),
            "runs": values.len(),
            "target": bar.then(|| target.to_string()),
            "reached": median.and_then(|median| target.reached(median)),
            "peers": peers,
        }))
    };
    lines.filter_map(of).collect()
}

fn plots(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out.join("plots")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".svg")).collect();
    names.sort();
    names
}

fn spread(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(value) => value.as_f64().map(number).unwrap_or_default(),
        other => other.to_string(),
    }
}

fn nanos(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.1} ns"),
        _ if nanos < 1e6 => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}
