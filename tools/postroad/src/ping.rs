//! `ping`: whether a node is there, how it is reached, and how far away it is.

use std::{thread, time::Duration};

use postroad_cli::{CliError, Exit, Printer, safe};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    admin::{Admin, segment},
    args::PingArgs,
    values::{Extra, millis},
};

/// How long the node may try to reach the other.
const ATTEMPT: Duration = Duration::from_secs(10);

/// `/v1/ping/…`.
#[derive(Debug, Deserialize, Serialize)]
struct Pong {
    node: String,
    name: String,
    path: String,
    rtt_ms: Option<f64>,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad ping`: a line per question.
pub(crate) fn run(admin: &Admin, args: &PingArgs, printer: &Printer) -> Result<(), CliError> {
    let admin = admin.clone().patient(ATTEMPT);
    let path = format!("/v1/ping/{}", segment(&args.node));
    let (mut asked, mut answered, mut last) = (0, 0, None);
    while args.count == 0 || asked < args.count {
        if asked > 0 {
            thread::sleep(args.interval);
        }
        asked += 1;
        match admin.post::<Pong>(&path, &json!({})) {
            Ok(pong) => {
                answered += 1;
                printer.object(&pong, || line(&pong))?;
            }
            // Not about this one question: the node that was to ask, or a name that is none.
            Err(error) if error.code != "unreachable" || !admin.is_alive() => return Err(error),
            Err(error) => {
                if args.count != 1 {
                    let lost = json!({ "node": args.node, "path": null, "rtt_ms": null,
                        "reason": error.message });
                    printer.object(&lost, || format!("{}", safe(&error.message)))?;
                }
                last = Some(error);
            }
        }
    }
    let Some(error) = last else { return Ok(()) };
    if answered == 0 {
        return Err(error);
    }
    Err(CliError::new(
        Exit::PartlyFailed,
        "partly_answered",
        format!("{answered} of {asked} were answered; the last failure: {}", error.message),
        error.hint,
    ))
}

fn line(pong: &Pong) -> String {
    format!("{}  {}  {}", safe(&pong.name), safe(&pong.path), millis(pong.rtt_ms))
}
