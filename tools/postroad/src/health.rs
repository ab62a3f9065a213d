//! Is the node well?

use std::time::{Duration, Instant};

use postroad_cli::{
    CliError, Colour, Exit, Format, Printer, fields, human_duration, json_line, safe,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    admin::{Admin, Target},
    args::WaitArgs,
    values::{Extra, inline, or_dash},
};

/// A condition is looked at this often. A node starts within seconds.
const POLL: Duration = Duration::from_millis(50);

/// `/v1/status`.
#[derive(Debug, Deserialize, Serialize)]
struct Status {
    verdict: String,
    #[serde(default)]
    problems: Vec<Problem>,
    #[serde(default)]
    notices: Vec<Value>,
    node: NodeInfo,
    #[serde(default)]
    peers: u64,
    /// Nodes that are known, this one among them.
    #[serde(default)]
    routes: u64,
    #[serde(default)]
    uptime_s: u64,
    #[serde(flatten)]
    extra: Extra,
}

#[derive(Debug, Deserialize, Serialize)]
struct Problem {
    code: String,
    message: String,
    #[serde(default)]
    fix: String,
    #[serde(flatten)]
    extra: Extra,
}

#[derive(Debug, Deserialize, Serialize)]
struct NodeInfo {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    network: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad status`.
pub(crate) fn status(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let status: Status = admin.get("/v1/status")?;
    printer.object(&status, || render(&status, printer))
}

/// The first line is the verdict and, when there is something to do, the fix.
fn render(status: &Status, printer: &Printer) -> String {
    let colour = match status.verdict.as_str() {
        "ok" => Colour::Green,
        "degraded" => Colour::Yellow,
        _ => Colour::Red,
    };
    let mut text = printer.paint(colour, &safe(&status.verdict));
    match status.problems.split_first() {
        None => text.push_str(": nothing to do\n"),
        Some((first, others)) => {
            text.push_str(&format!(": {}\n", problem(first)));
            for other in others {
                text.push_str(&format!("also: {}\n", problem(other)));
            }
        }
    }
    for notice in &status.notices {
        let message = notice.get("message").unwrap_or(notice);
        text.push_str(&format!("notice: {}\n", inline(message)));
    }
    let name = or_dash(status.node.name.as_deref());
    let mut pairs = vec![
        ("node", format!("{name} ({})", status.node.id)),
        ("network", or_dash(status.node.network.as_deref())),
        ("peers", status.peers.to_string()),
        ("routes", status.routes.to_string()),
        ("up", human_duration(Duration::from_secs(status.uptime_s))),
    ];
    // What has parts is for those who ask for everything.
    let wide = printer.format() == Format::Wide;
    pairs.extend(status.node.extra.iter().filter(|_| wide).map(|(n, v)| (n.as_str(), inline(v))));
    let shown = status.extra.iter().filter(|(_, value)| wide || !value.is_object());
    pairs.extend(shown.map(|(name, value)| (name.as_str(), inline(value))));
    text + &fields(&pairs)
}

fn problem(problem: &Problem) -> String {
    match problem.fix.as_str() {
        "" => safe(&problem.message).into_owned(),
        fix => format!("{}; fix: {}", safe(&problem.message), safe(fix)),
    }
}

/// `postroad wait`.
pub(crate) fn wait(target: &Target, args: &WaitArgs, printer: &Printer) -> Result<(), CliError> {
    let started = Instant::now();
    loop {
        // The address is looked up each time: a node that starts writes it when it is there.
        let reason = match target.admin().and_then(|admin| holds(&admin, args)) {
            Ok(None) => break,
            Ok(Some(reason)) => reason,
            // Waiting does not change these.
            Err(error) if matches!(error.exit, Exit::Usage | Exit::Denied) => return Err(error),
            Err(error) => error.message,
        };
        if started.elapsed() >= args.timeout {
            return Err(CliError::new(
                Exit::TimedOut,
                "timeout",
                format!("not after {}: {reason}", human_duration(args.timeout)),
                "look into the node's log, or wait longer with --timeout",
            ));
        }
        std::thread::sleep(POLL.min(args.timeout.saturating_sub(started.elapsed())));
    }
    let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    printer.object(&json!({ "ready": true, "waited_ms": waited_ms }), || "ready".to_owned())
}

/// What is still missing, if anything.
fn holds(admin: &Admin, args: &WaitArgs) -> Result<Option<String>, CliError> {
    admin.get_text("/readyz")?;
    let Some(wanted) = args.peers else { return Ok(None) };
    let peers = admin.get::<Status>("/v1/status")?.peers;
    Ok((peers < wanted).then(|| format!("{peers} of {wanted} peers are connected")))
}

/// `postroad metrics`.
pub(crate) fn metrics(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let text = admin.get_text("/metrics")?;
    printer.detail(&format!("from {}", json_line(admin.address())));
    printer.out(&text)
}

#[cfg(test)]
mod tests {
    use postroad_cli::GlobalArgs;

    use super::*;

    fn read(value: &Value) -> Status {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn a_well_node_says_so_first() {
        let value = json!({"verdict": "ok", "problems": [], "notices": [{"message": "alone"}],
            "node": {"id": "n1", "name": "alpha", "network": "demo", "link": "postroad:node#x"},
            "peers": 0, "routes": 1, "uptime_s": 61, "users": 2});
        let status = read(&value);
        let text = render(&status, &GlobalArgs::default().printer());
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("ok: nothing to do"));
        assert_eq!(lines.next(), Some("notice: alone"));
        assert!(text.contains("alpha (n1)") && text.contains("1m") && text.contains("users:"));
        assert_eq!(serde_json::to_value(&status).unwrap(), value, "nothing is lost in JSON");
    }

    #[test]
    fn a_problem_brings_its_fix_on_the_first_line() {
        let status = read(&json!({"verdict": "action", "node": {"id": "n1"}, "problems": [
            {"code": "disk_full", "message": "the disk is full\n", "fix": "free 2GiB"},
            {"code": "old", "message": "old version"}]}));
        let text = render(&status, &GlobalArgs::default().printer());
        assert!(text.starts_with("action: the disk is full␊; fix: free 2GiB\nalso: old version\n"));
    }
}
