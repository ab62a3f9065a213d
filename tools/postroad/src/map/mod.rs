//! `map`: the network as this node sees it, as a picture, for Graphviz, or as data.

mod dot;
mod svg;

use std::{
    io::{IsTerminal, stdout},
    path::Path,
};

use postroad_cli::{CliError, Printer, json_line};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    admin::Admin,
    args::{MapArgs, MapFormat},
    values::{Extra, millis},
};

/// Letters of a name that fit beside a node.
const LABEL: usize = 24;
/// Characters of an id that tell the nodes of a picture apart. The node takes them for an id.
const SHORT_ID: usize = 8;

/// `/v1/map`.
#[derive(Debug, Deserialize, Serialize)]
struct Map {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    #[serde(flatten)]
    extra: Extra,
}

#[derive(Debug, Deserialize, Serialize)]
struct Node {
    node: String,
    name: String,
    #[serde(default)]
    region: String,
    #[serde(default, rename = "self")]
    own: bool,
    #[serde(default)]
    connected: bool,
    rtt_ms: Option<f64>,
    /// Whether its record is still good; a node without has been away for days.
    #[serde(default)]
    current: bool,
    #[serde(flatten)]
    extra: Extra,
}

#[derive(Debug, Deserialize, Serialize)]
struct Edge {
    from: String,
    to: String,
    path: String,
    rtt_ms: Option<f64>,
    #[serde(flatten)]
    extra: Extra,
}

impl Node {
    /// Its name, or the beginning of its id.
    fn label(&self) -> String {
        if self.name.is_empty() || self.name == self.node {
            return self.node.chars().take(SHORT_ID).collect();
        }
        let mut label: String = self.name.chars().take(LABEL).collect();
        if label.len() < self.name.len() {
            label.push('…');
        }
        label
    }
}

impl Edge {
    fn label(&self) -> String {
        match self.rtt_ms {
            Some(_) => format!("{} {}", self.path, millis(self.rtt_ms)),
            None => self.path.clone(),
        }
    }
}

/// `postroad map`.
pub(crate) fn run(admin: &Admin, args: &MapArgs, printer: &Printer) -> Result<(), CliError> {
    let map: Map = admin.get("/v1/map")?;
    let format = format(args, printer.is_json(), stdout().is_terminal());
    let text = match format {
        MapFormat::Svg => svg::draw(&map),
        MapFormat::Dot => dot::draw(&map),
        MapFormat::Json => json_line(&map) + "\n",
    };
    let Some(file) = &args.out else { return printer.out(&text) };
    std::fs::write(file, text).map_err(|error| {
        let what = format!("cannot write {}", file.display());
        CliError::io(what, &error, "name a file in a directory you can write to")
    })?;
    let nodes = map.nodes.len();
    printer.object(&json!({ "file": file, "nodes": nodes }), || {
        let s = if nodes == 1 { "" } else { "s" };
        format!("wrote {} with {nodes} node{s}", postroad_cli::safe(&file.to_string_lossy()))
    })
}

fn format(args: &MapArgs, is_json: bool, is_terminal: bool) -> MapFormat {
    let extension = args.out.as_deref().and_then(Path::extension).and_then(|text| text.to_str());
    match (args.format, extension) {
        (Some(format), _) => format,
        (None, Some("svg")) => MapFormat::Svg,
        (None, Some("dot" | "gv")) => MapFormat::Dot,
        (None, Some("json")) => MapFormat::Json,
        (None, _) if is_json => MapFormat::Json,
        // Nobody reads a picture's text.
        (None, _) if is_terminal && args.out.is_none() => MapFormat::Dot,
        (None, _) => MapFormat::Svg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of three, one of them hostile, one without a name that is away.
    pub(super) fn sample() -> Map {
        let hostile = "\"'><script>&\u{1b}[2J\u{0}\u{202e}\u{fffe}\n\\\"";
        serde_json::from_value(json!({
            "nodes": [
                {"node": "n1", "name": "alpha", "region": "eu", "self": true, "connected": false,
                    "rtt_ms": null, "current": true},
                {"node": "n2", "name": hostile, "region": hostile, "self": false,
                    "connected": true, "rtt_ms": 1.25, "current": true},
                {"node": "abcdefghijklmnop", "name": "abcdefghijklmnop", "region": "",
                    "self": false, "connected": false, "rtt_ms": null, "current": false}],
            "edges": [{"from": "n1", "to": "n2", "path": "direct", "rtt_ms": 1.25}]}))
        .unwrap()
    }

    #[test]
    fn the_format_follows_what_was_said_most_clearly() {
        let args = |format, out: Option<&str>| MapArgs { format, out: out.map(Into::into) };
        let dot = Some(MapFormat::Dot);
        assert_eq!(format(&args(dot, Some("x.svg")), true, false), MapFormat::Dot);
        assert_eq!(format(&args(None, Some("x.svg")), true, true), MapFormat::Svg);
        assert_eq!(format(&args(None, None), true, true), MapFormat::Json);
        assert_eq!(format(&args(None, None), false, true), MapFormat::Dot);
        assert_eq!(format(&args(None, None), false, false), MapFormat::Svg);
        assert_eq!(format(&args(None, Some("x")), false, true), MapFormat::Svg);
    }

    #[test]
    fn a_label_is_the_name_or_the_beginning_of_the_id() {
        let mut node = sample().nodes.remove(2);
        assert_eq!(node.label(), "abcdefgh");
        node.name = "ä".repeat(30);
        assert_eq!(node.label(), "ä".repeat(24) + "…");
    }
}
