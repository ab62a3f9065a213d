//! How costs grow, as pictures: one SVG for each kind of cost and what it grows with.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use postroad_cli::{CliError, Printer};
use serde_json::{Map, Value};

use crate::lines::number;
use crate::results::{median, read};

/// Pixels.
const SIZE: (u32, u32) = (820, 500);
const FONT: &str = "sans-serif";
/// Colours that people tell apart, also those who see red and green alike.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 90, 181), RGBColor(220, 50, 32), RGBColor(90, 90, 90)];
/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// One picture: what grows, and with what.
struct Plot {
    file: &'static str,
    /// What `tests/bench/run growth` varied.
    axis: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    /// Whether `y` spans decades; else it starts at 0, so that flat looks flat.
    decades: bool,
    /// A field of a run, what it is divided by, and its name.
    series: &'static [(&'static str, f64, &'static str)],
}

const SESSIONS: &str = "sessions";
const MAILBOXES: &str = "mailboxes";
const STORED: &str = "messages stored";
const PEERS: &str = "nodes in the network, each of which knows all others";
const BYTES: &str = "bytes of a sealed body";

const SERVED: &[(&str, f64, &str)] = &[
    ("stopped_served_ms", 1.0, "after an orderly end"),
    ("killed_served_ms", 1.0, "after kill -9 under load"),
];
const MEMORY: &[(&str, f64, &str)] = &[
    ("filled_rss_mib", 1.0, "the node that took it all in"),
    ("stopped_rss_mib", 1.0, "after a start"),
    ("stopped_peak_mib", 1.0, "the most during a start"),
];
const DISK: &[(&str, f64, &str)] = &[("disk_bytes", MIB, "journal and index")];

const fn plot(
    file: &'static str,
    axis: (&'static str, &'static str),
    title: &'static str,
    y: &'static str,
    decades: bool,
    series: &'static [(&'static str, f64, &'static str)],
) -> Plot {
    Plot { file, axis: axis.0, title, x: axis.1, y, decades, series }
}

const PLOTS: [Plot; 17] = [
    plot(
        "sessions-memory",
        ("sessions", SESSIONS),
        "Memory of an idle session",
        "KiB resident per session",
        false,
        &[("rss_kib_per_session", 1.0, "idle")],
    ),
    plot(
        "sessions-login",
        ("sessions", SESSIONS),
        "CPU of a login",
        "CPU µs per login",
        false,
        &[("cpu_us_per_login", 1.0, "the node")],
    ),
    plot(
        "sessions-message",
        ("sessions", SESSIONS),
        "CPU of a message between sessions that are all online",
        "CPU µs per message",
        false,
        &[("cpu_us_per_message", 1.0, "the node"), ("load_cpu_us_per_message", 1.0, "all clients")],
    ),
    plot(
        "mailboxes-memory",
        ("mailboxes", MAILBOXES),
        "Memory of a node with many mailboxes",
        "MiB resident",
        true,
        MEMORY,
    ),
    plot(
        "mailboxes-disk",
        ("mailboxes", MAILBOXES),
        "Disk of a node with many mailboxes",
        "MiB",
        true,
        DISK,
    ),
    plot(
        "mailboxes-start",
        ("mailboxes", MAILBOXES),
        "From the start to the first served client",
        "ms",
        true,
        SERVED,
    ),
    plot(
        "mailboxes-store",
        ("mailboxes", MAILBOXES),
        "CPU of storing a message",
        "CPU µs per message",
        false,
        &[("fill_cpu_us_per_message", 1.0, "the node")],
    ),
    plot(
        "stored-memory",
        ("stored", STORED),
        "Memory of a node with many messages",
        "MiB resident",
        true,
        MEMORY,
    ),
    plot("stored-disk", ("stored", STORED), "Disk of a node with many messages", "MiB", true, DISK),
    plot(
        "stored-start",
        ("stored", STORED),
        "From the start to the first served client",
        "ms",
        true,
        SERVED,
    ),
    plot(
        "stored-store",
        ("stored", STORED),
        "CPU of storing a message, on average until so many are stored",
        "CPU µs per message",
        false,
        &[("fill_cpu_us_per_message", 1.0, "the node")],
    ),
    plot(
        "peers-memory",
        ("peers", PEERS),
        "Memory of a node at rest",
        "MiB resident",
        false,
        &[("rest_rss_mib", 1.0, "median of all nodes")],
    ),
    plot(
        "peers-cpu",
        ("peers", PEERS),
        "CPU of a node at rest",
        "% of a core",
        false,
        &[("rest_cpu_percent", 1.0, "average of all nodes")],
    ),
    plot(
        "peers-traffic",
        ("peers", PEERS),
        "Traffic of a node at rest",
        "KiB an hour, headers included",
        false,
        &[("rest_kib_per_hour", 1.0, "average of all nodes")],
    ),
    plot(
        "size-cpu",
        ("size", BYTES),
        "CPU of a message by its size, online",
        "CPU µs per message",
        true,
        &[("cpu_us_per_message", 1.0, "the node"), ("load_cpu_us_per_message", 1.0, "all clients")],
    ),
    plot(
        "size-wire",
        ("size", BYTES),
        "Bytes on the wire of a message by its size",
        "bytes per message",
        true,
        &[
            ("client_to_node_bytes", 1.0, "client → node"),
            ("node_to_client_bytes", 1.0, "node → client"),
        ],
    ),
    plot(
        "size-disk",
        ("size", BYTES),
        "Bytes written of a stored message by its size",
        "bytes written per message",
        true,
        &[("bytes_written_per_message", 1.0, "the node")],
    ),
];

/// Draws all pictures for which there are points, lines of
/// `{"axis": …, "at": …, "report": a result of run}`.
pub(crate) fn plot_all(points: &Path, out: &Path, printer: &Printer) -> Result<(), CliError> {
    let points = read(points)?;
    fs::create_dir_all(out).map_err(|error| not_drawn(out, error))?;
    let mut drawn = 0;
    for plot in &PLOTS {
        let series = plot.points(&points);
        if series.iter().any(|(_, points)| points.len() > 1) {
            let path = out.join(format!("{}.svg", plot.file));
            plot.draw(&series, &path).map_err(|error| not_drawn(&path, error))?;
            drawn += 1;
        }
    }
    if drawn == 0 {
        let text = "a line needs two points, and there are none".to_owned();
        return Err(CliError::failed("no_points", text, "tests/bench/run growth"));
    }
    printer.hint(&format!("drew {drawn} plots into {}", out.display()));
    Ok(())
}

fn not_drawn(path: &Path, error: impl std::fmt::Display) -> CliError {
    let text = format!("cannot draw {}: {error}", path.display());
    CliError::failed("not_drawn", text, "may this directory be written?")
}

type Points = Vec<(f64, f64)>;

impl Plot {
    /// The points of each series; of several runs at one place the median.
    fn points(&self, all: &[Map<String, Value>]) -> Vec<(&'static str, Points)> {
        let here = || all.iter().filter(|point| point.get("axis") == Some(&self.axis.into()));
        let series = |(field, divisor, name): &(&str, f64, &'static str)| {
            let mut places: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for point in here() {
                let at = point.get("at").and_then(Value::as_u64);
                let value = point.get("report").and_then(|report| report.get(field)?.as_f64());
                if let Some((at, value)) = at.zip(value) {
                    places.entry(at).or_default().push(value / divisor);
                }
            }
            let median = |(at, values): (u64, Vec<f64>)| Some((at as f64, median(&values)?));
            (*name, places.into_iter().filter_map(median).collect())
        };
        self.series.iter().map(series).collect()
    }

    fn draw(
        &self,
        series: &[(&str, Points)],
        path: &Path,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let all = || series.iter().flat_map(|(_, points)| points.iter());
        let x = around(all().map(|point| point.0));
        if self.decades {
            // Nothing of zero has a place among decades.
            let y = decades(all().map(|point| point.1).filter(|y| *y > 0.0));
            self.draw_on(series, path, x, y.log_scale())
        } else {
            let top = all().map(|point| point.1).fold(0.0, f64::max).max(1e-3);
            self.draw_on(series, path, x, 0.0..top * 1.25)
        }
    }

    fn draw_on<Y>(
        &self,
        series: &[(&str, Points)],
        path: &Path,
        x: Range<f64>,
        y: Y,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT, 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(x.log_scale(), y)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .axis_desc_style((FONT, 15))
            .label_style((FONT, 13))
            .x_labels(8)
            .y_labels(8)
            .light_line_style(WHITE)
            .x_label_formatter(&|x| number(short(*x)))
            .y_label_formatter(&|y| number(short(*y)))
            .draw()?;
        for (place, (name, points)) in series.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let points = || points.iter().copied().filter(|point| point.1 > 0.0 || !self.decades);
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
            chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, 14))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// A range with some room at both ends.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        (least, most) = (least.min(value), most.max(value));
    }
    match least.is_finite() {
        true => least / 1.6..most * 2.5,
        false => 1.0..10.0,
    }
}

/// A range of whole decades.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let range = around(values);
    10_f64.powf(range.start.log10().floor())..10_f64.powf(range.end.log10().ceil())
}

/// As many digits as a label needs.
fn short(value: f64) -> f64 {
    let digits = if value.abs() >= 10.0 { 1.0 } else { 1_000.0 };
    (value * digits).round() / digits
}
