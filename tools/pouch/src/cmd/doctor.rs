//! `doctor`: which step of the way to the node fails, and why.

use postroad_cli::{CliError, Colour, Exit, Printer, safe};
use postroad_client::{Check, STEPS, Verdict};
use serde::Serialize;

use crate::args::ProfileArgs;
use crate::error::{LOCKED, explain};
use crate::profile::open;

#[derive(Serialize)]
struct CheckRow {
    step: String,
    verdict: &'static str,
    detail: String,
    fix: Option<String>,
    #[serde(skip)]
    kind: Verdict,
    #[serde(skip)]
    is_unreachable: bool,
}

impl CheckRow {
    fn new(step: &str, kind: Verdict, detail: String, fix: &str) -> Self {
        let fix = Some(fix.to_owned()).filter(|fix| !fix.is_empty());
        let (step, verdict) = (step.to_owned(), kind.word());
        Self { step, verdict, detail, fix, kind, is_unreachable: false }
    }

    fn human(&self, printer: &Printer) -> String {
        let colour = match self.kind {
            Verdict::Fine => Colour::Green,
            Verdict::Warn => Colour::Yellow,
            Verdict::Fail => Colour::Red,
            Verdict::Skipped => Colour::Dim,
        };
        let verdict = printer.paint(colour, &format!("{:<7}", self.verdict));
        let mut text = format!("{verdict}  {:<9}  {}\n", self.step, safe(&self.detail));
        if let Some(fix) = &self.fix {
            text.push_str(&format!("{:20}{}\n", "", safe(fix)));
        }
        text
    }
}

impl From<Check> for CheckRow {
    fn from(check: Check) -> Self {
        let is_unreachable = check.is_unreachable;
        Self { is_unreachable, ..Self::new(check.step, check.verdict, check.detail, check.fix) }
    }
}

pub(crate) async fn run(profile: &ProfileArgs, printer: &Printer) -> Result<(), CliError> {
    let rows = match open(profile, false, printer).await {
        Ok(mut client) => {
            let who = client.whoami().map_err(explain)?;
            let name = who.handle.unwrap_or_else(|| who.account.to_string());
            let profile = CheckRow::new("profile", Verdict::Fine, name, "");
            let checks = client.checkup().await.map_err(explain)?;
            std::iter::once(profile).chain(checks.into_iter().map(CheckRow::from)).collect()
        }
        Err(error) if error.code == LOCKED => return Err(error),
        Err(error) => without_profile(&error),
    };
    printer.list(&rows, "", || rows.iter().map(|row| row.human(printer)).collect())?;
    let Some(failed) = rows.iter().find(|row| row.kind == Verdict::Fail) else { return Ok(()) };
    let exit = if failed.is_unreachable { Exit::Unreachable } else { Exit::Failed };
    let message = format!("{}: {}", failed.step, failed.detail);
    Err(CliError::new(exit, "not_well", message, failed.fix.clone().unwrap_or_default()))
}

/// Nothing can be looked at without a profile that opens.
fn without_profile(error: &CliError) -> Vec<CheckRow> {
    let first = CheckRow::new("profile", Verdict::Fail, error.message.clone(), &error.hint);
    let skipped = |step: &&str| {
        CheckRow::new(step, Verdict::Skipped, "there is no profile to go from".to_owned(), "")
    };
    std::iter::once(first).chain(STEPS.iter().map(skipped)).collect()
}
