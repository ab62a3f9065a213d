//! The map for Graphviz.

use std::fmt::Write as _;

use postroad_cli::safe;

use super::{Map, Node};

/// The map in the DOT language.
pub(super) fn draw(map: &Map) -> String {
    let mut text = String::from("graph postroad {\n  layout=circo;\n  node [shape=ellipse];\n");
    for node in &map.nodes {
        let _ = writeln!(text, "  {} [label={}{}];", quoted(&node.node), label(node), style(node));
    }
    for edge in &map.edges {
        let (from, to) = (quoted(&edge.from), quoted(&edge.to));
        let _ = writeln!(text, "  {from} -- {to} [label={}];", quoted(&edge.label()));
    }
    text + "}\n"
}

fn label(node: &Node) -> String {
    if node.region.is_empty() {
        return quoted(&node.label());
    }
    // A line break is written as a backslash and an n, and put in after the quoting.
    let (name, region) = (quoted(&node.label()), quoted(&node.region));
    format!("{}\\n{}", &name[..name.len() - 1], &region[1..])
}

fn style(node: &Node) -> &'static str {
    match (node.own, node.current) {
        (true, _) => ", style=filled, fillcolor=gold",
        (false, true) => "",
        (false, false) => ", color=grey, fontcolor=grey",
    }
}

/// A quoted string: nothing in it ends it or stands for something else. Graphviz reads HTML's
/// entities in labels.
fn quoted(text: &str) -> String {
    let text = safe(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sample, *};

    #[test]
    fn nothing_that_a_node_calls_itself_ends_its_string() {
        assert_eq!(quoted("a\\\"b\n&lt;"), "\"a\\\\\\\"b␊&amp;lt;\"");
        let text = draw(&sample());
        assert_eq!(text.lines().count(), 3 + 3 + 1 + 1, "{text}");
        for line in text.lines() {
            let unescaped = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(unescaped.matches('"').count() % 2, 0, "{line}");
        }
        assert!(text.contains("\"n1\" -- \"n2\" [label=\"direct 1.2ms\"];"), "{text}");
        assert!(text.contains("\"alpha\\neu\", style=filled"), "{text}");
        assert!(text.contains("\"abcdefgh\", color=grey"), "{text}");
    }
}
