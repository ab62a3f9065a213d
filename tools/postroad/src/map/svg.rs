//! The map as a picture: the nodes on a circle, what this node is connected to as lines.

use std::{collections::BTreeMap, f64::consts::TAU, fmt::Write as _};

use postroad_cli::markup;

use super::{Edge, Map, Node};

/// Room for labels left and right, and above and below, pixels.
const MARGIN: (f64, f64) = (230.0, 80.0);
/// Least radius of the circle, and least room for a node on it, pixels.
const RADIUS: f64 = 140.0;
const SPACE: f64 = 44.0;
/// Radius of a node.
const DOT: f64 = 9.0;

const STYLE: &str = "text{font:13px sans-serif;fill:#222}\
    .small{font-size:11px;fill:#666}\
    .edge{stroke:#4a7;stroke-width:2}\
    .node{fill:#fff;stroke:#357;stroke-width:2}\
    .connected{fill:#4a7}\
    .self{fill:#fb3}\
    .dead{fill:#ddd;stroke:#aaa}\
    text.dead{fill:#999;stroke:none}";

/// Where something is.
type Point = (f64, f64);

/// The map as an SVG document.
pub(super) fn draw(map: &Map) -> String {
    let radius = RADIUS.max(map.nodes.len() as f64 * SPACE / TAU);
    let (width, height) = (2.0 * (radius + MARGIN.0), 2.0 * (radius + MARGIN.1));
    let centre = (width / 2.0, height / 2.0);
    let step = TAU / map.nodes.len().max(1) as f64;
    // The first stands at the top.
    let angles = (0..map.nodes.len()).map(|place| place as f64 * step - TAU / 4.0);
    let places: Vec<Place<'_>> =
        map.nodes.iter().zip(angles).map(|(node, angle)| Place { node, angle }).collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let by_id: BTreeMap<&str, Point> =
        places.iter().map(|place| (place.node.node.as_str(), place.at(centre, radius))).collect();
    for edge in &map.edges {
        if let (Some(from), Some(to)) = (by_id.get(&*edge.from), by_id.get(&*edge.to)) {
            line(&mut text, edge, *from, *to);
        }
    }
    for place in &places {
        place.draw(&mut text, centre, radius);
    }
    let _ = writeln!(
        text,
        "<text class=\"small\" x=\"12\" y=\"{:.0}\">yellow: this node; green: connected to it; \
         white: known; grey: not heard of for days</text>",
        height - 12.0
    );
    text + "</svg>\n"
}

fn line(text: &mut String, edge: &Edge, from: Point, to: Point) {
    let _ = writeln!(
        text,
        "<line class=\"edge\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
    // Nearer to the far end: lines of one node meet at it.
    let at = (from.0 + (to.0 - from.0) * 0.65, from.1 + (to.1 - from.1) * 0.65 - 4.0);
    let _ = writeln!(
        text,
        "<text class=\"small\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        at.0,
        at.1,
        markup(&edge.label())
    );
}

/// A node and its place on the circle.
struct Place<'a> {
    node: &'a Node,
    angle: f64,
}

impl Place<'_> {
    fn at(&self, centre: Point, radius: f64) -> Point {
        (centre.0 + radius * self.angle.cos(), centre.1 + radius * self.angle.sin())
    }

    fn draw(&self, text: &mut String, centre: Point, radius: f64) {
        let class = match self.node {
            Node { own: true, .. } => "self",
            Node { current: false, .. } => "dead",
            Node { connected: true, .. } => "connected",
            Node { .. } => "known",
        };
        let (x, y) = self.at(centre, radius);
        let (label_x, label_y) = self.at(centre, radius + 20.0);
        let anchor = match self.angle.cos() {
            cos if cos > 0.1 => "start",
            cos if cos < -0.1 => "end",
            _ => "middle",
        };
        // Above the circle's middle the second line pushes the first one up.
        let label_y = if self.angle.sin() < -0.5 { label_y - 14.0 } else { label_y + 4.0 };
        let _ = writeln!(
            text,
            "<circle class=\"node {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\">\
             <title>{}</title></circle>",
            markup(&self.node.node)
        );
        let _ = writeln!(
            text,
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{label_x:.1}\" \
             y=\"{label_y:.1}\">{}<tspan class=\"small\" x=\"{label_x:.1}\" dy=\"14\">{}</tspan>\
             </text>",
            markup(&self.node.label()),
            markup(&self.node.region)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sample, *};

    /// The names of the elements in order; panics where the document is not well-formed.
    fn elements(document: &str) -> Vec<&str> {
        let (mut open, mut seen) = (Vec::new(), Vec::new());
        for part in document.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a tag that ends");
            assert!(!text.contains('>'), "a bare > in {text:?}");
            for reference in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
                let (name, _) = reference.split_once(';').expect("a reference that ends");
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "{reference}");
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None => {
                    let name = tag.split([' ', '/']).next().unwrap();
                    seen.push(name);
                    if !tag.ends_with('/') {
                        open.push(name);
                    }
                }
            }
        }
        assert!(open.is_empty(), "{open:?}");
        seen
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let document = draw(&sample());
        let seen = elements(&document);
        let count = |name| seen.iter().filter(|seen| **seen == name).count();
        assert_eq!((count("circle"), count("line"), count("script")), (3, 1, 0), "{document}");
        assert!(!document.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{fffe}'));
        assert!(document.contains("class=\"node self\"") && document.contains("node dead"));
        assert!(document.contains("direct 1.2ms"), "{document}");
    }

    #[test]
    fn a_network_of_none_and_of_many_can_be_drawn() {
        let mut map = sample();
        map.nodes.clear();
        assert!(!elements(&draw(&map)).contains(&"line"), "an edge to nowhere is left out");
        let one = sample().nodes.remove(0).node;
        for n in 0..5_000 {
            let mut node = sample().nodes.remove(0);
            node.node = format!("{one}{n}");
            map.nodes.push(node);
        }
        assert_eq!(elements(&draw(&map)).iter().filter(|name| **name == "circle").count(), 5_000);
    }
}
