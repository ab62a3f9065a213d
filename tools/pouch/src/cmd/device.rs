//! The account's devices: `device link|join|ls|revoke|rename`.

use std::time::{Duration, Instant};

use postroad_cli::{CliError, Column, Printer, Row, qr, rfc3339_ms, safe};
use postroad_client::{Client, DeviceView, Error, LinkEvent};
use postroad_proto::link::DeviceLink;
use serde::Serialize;

use super::account::WhoamiRow;
use crate::args::{Device, DeviceJoin, ProfileArgs};
use crate::error::explain;
use crate::profile::{open_any, sync};

/// How often it is said how far it has come.
const SAY: Duration = Duration::from_secs(1);

/// A device.
#[derive(Serialize)]
struct DeviceRow {
    device: u8,
    name: String,
    this: bool,
    added_at: String,
}

impl From<DeviceView> for DeviceRow {
    fn from(device: DeviceView) -> Self {
        Self {
            device: device.number,
            name: device.name,
            this: device.is_this,
            added_at: rfc3339_ms(device.added),
        }
    }
}

impl Row for DeviceRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("DEVICE"),
        Column::text("NAME").gives_way(),
        Column::text(""),
        Column::text("ADDED"),
    ];

    fn cells(&self) -> Vec<String> {
        let this = if self.this { "this one" } else { "" };
        vec![self.device.to_string(), self.name.clone(), this.to_owned(), self.added_at.clone()]
    }
}

#[derive(Serialize)]
struct OfferRow {
    link: String,
    expires_at: String,
}

#[derive(Serialize)]
struct LinkedRow {
    device: u8,
}

pub(crate) async fn run(
    client: &mut Client,
    verb: &Device,
    printer: &Printer,
) -> Result<(), CliError> {
    match verb {
        Device::Link { qr, anew } => link(client, (*qr, *anew), printer).await,
        Device::Ls => {
            sync(client, printer).await?;
            ls(client, printer)
        }
        Device::Revoke { device } => {
            sync(client, printer).await?;
            let known = client.devices().map_err(explain)?;
            let name = known.iter().find(|known| known.number == *device);
            let name = name.map_or_else(String::new, |known| format!(" ({})", safe(&known.name)));
            printer
                .confirm(&format!("take device {device}{name} out of the account, for good?"))?;
            client.revoke_device(*device).map_err(explain)?;
            sync(client, printer).await?;
            printer.object(&LinkedRow { device: *device }, || {
                format!("device {device} is no longer one of this account")
            })
        }
        Device::Rename { device, name } => {
            client.rename_device(*device, name).map_err(explain)?;
            sync(client, printer).await?;
            ls(client, printer)
        }
        // Answered before a profile was opened.
        Device::Join(_) => Ok(()),
    }
}

fn ls(client: &mut Client, printer: &Printer) -> Result<(), CliError> {
    let devices = client.devices().map_err(explain)?;
    let rows: Vec<DeviceRow> = devices.into_iter().map(DeviceRow::from).collect();
    printer.rows(&rows, "no devices")
}

async fn link(
    client: &mut Client,
    (code, anew): (bool, bool),
    printer: &Printer,
) -> Result<(), CliError> {
    let offer = client.offer_link(anew).map_err(explain)?;
    let devices = client.devices().map_err(explain)?;
    if let Some(this) = devices.iter().find(|device| device.is_this && device.name.is_empty()) {
        client.rename_device(this.number, &host_name()).map_err(explain)?;
    }
    let text = offer.link.to_string();
    let row = OfferRow { link: text.clone(), expires_at: rfc3339_ms(offer.expires_at) };
    let code = if code && !printer.is_json() { qr(&text)? } else { String::new() };
    printer.object(&row, || format!("{text}\n{code}"))?;
    match offer.device {
        Some(device) => printer.hint(&format!("device {device} does not have all yet; going on")),
        None => printer.hint(&format!(
            "on the other device, until {}: pouch device join LINK",
            row.expires_at
        )),
    }
    // Other commands on this profile have their turns meanwhile.
    client.unlock().map_err(explain)?;
    let mut said = Said::new(printer);
    let device = client.serve_link(|event| said.say(&event)).await.map_err(explain)?;
    printer.object(&LinkedRow { device }, || format!("device {device} has all of the account"))
}

pub(crate) async fn join(
    profile: &ProfileArgs,
    args: &DeviceJoin,
    printer: &Printer,
) -> Result<(), CliError> {
    let link: DeviceLink = args.link.parse().map_err(|error| explain(Error::Link(error)))?;
    let name = args.name.clone().unwrap_or_else(host_name);
    let mut client = open_any(profile, printer).await?;
    let mut said = Said::new(printer);
    let joined = client.join_device(&link, &name, |event| said.say(&event)).await;
    let row = WhoamiRow::from(joined.map_err(explain)?);
    printer.object(&row, || row.human())
}

/// What this machine is called.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "a device".to_owned() } else { name.to_owned() }
}

/// Says how far it has come, and why it does not go on.
struct Said<'a> {
    printer: &'a Printer,
    at: Option<Instant>,
    lost: String,
}

impl<'a> Said<'a> {
    fn new(printer: &'a Printer) -> Self {
        Self { printer, at: None, lost: String::new() }
    }

    fn say(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Waiting => self.printer.progress("waiting for the other device"),
            LinkEvent::Granted { device, name } => {
                self.lost.clear();
                self.printer.progress(&format!("device {device} is {}", safe(name)));
            }
            LinkEvent::Messages { done, all } => {
                self.lost.clear();
                let is_news = self.at.is_none_or(|at| at.elapsed() >= SAY) || done >= all;
                if is_news {
                    self.at = Some(Instant::now());
                    self.printer.progress(&format!("{done} of {all} messages"));
                }
            }
            // Once for each reason: it is tried again and again.
            LinkEvent::Lost(why) if *why != self.lost => {
                self.lost.clone_from(why);
                self.printer.hint(&format!("interrupted, going on by itself: {}", safe(why)));
            }
            LinkEvent::Lost(_) => {}
        }
    }
}
