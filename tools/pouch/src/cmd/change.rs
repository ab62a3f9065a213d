//! What changes a conversation that is there: `forward`, `edit`, `delete`, `react`, `timer`.

use postroad_cli::{CliError, Printer};
use postroad_client::Client;

use super::{message_id, send};
use crate::args::{Delete, Edit, Forward, React, Timer, TimerArgs};
use crate::error::explain;

pub(crate) async fn forward(
    client: &mut Client,
    args: &Forward,
    printer: &Printer,
) -> Result<(), CliError> {
    let sent = client.forward(&message_id(&args.message)?, &args.to).map_err(explain)?;
    send::follow(client, &sent, &args.wait, printer).await
}

pub(crate) async fn edit(
    client: &mut Client,
    args: &Edit,
    printer: &Printer,
) -> Result<(), CliError> {
    let text = send::checked(args.text.clone())?;
    let sent = client.edit(&message_id(&args.message)?, &text).map_err(explain)?;
    send::follow(client, &sent, &args.wait, printer).await
}

pub(crate) async fn delete(
    client: &mut Client,
    args: &Delete,
    printer: &Printer,
) -> Result<(), CliError> {
    let id = message_id(&args.message)?;
    printer.confirm("Delete this message on both sides? It cannot be brought back.")?;
    let sent = client.delete(&id).map_err(explain)?;
    if sent.state.is_lost() {
        printer.hint("it had not been sent yet, and will not be");
        return Ok(());
    }
    send::follow(client, &sent, &args.wait, printer).await
}

pub(crate) async fn react(
    client: &mut Client,
    args: &React,
    printer: &Printer,
) -> Result<(), CliError> {
    let id = message_id(&args.message)?;
    let sent = client.react(&id, args.emoji.as_deref()).map_err(explain)?;
    send::follow(client, &sent, &args.wait, printer).await
}

pub(crate) async fn timer(
    client: &mut Client,
    args: &TimerArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let seconds = match args.after {
        Timer::Off => None,
        Timer::After(after) => Some(after.as_secs()),
    };
    let sent = client.set_timer(&args.chat, seconds).map_err(explain)?;
    send::follow(client, &sent, &args.wait, printer).await
}
