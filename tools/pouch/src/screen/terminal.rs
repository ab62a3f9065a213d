//! The terminal: taken over at the start, and given back whatever happens.

use std::io::{self, IsTerminal, Write};

use data_encoding::BASE64;
use postroad_cli::CliError;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
};
use ratatui::crossterm::execute;
use ratatui::layout::Rect;
use tokio::sync::mpsc;

use super::app::App;
use super::draw::draw;
use super::input::Input;

/// Keys that are typed ahead at most; more wait in the terminal.
const AHEAD: usize = 256;
/// Bytes of text that terminals take for their clipboard.
const MAX_COPY: usize = 74_994;

/// Whether there is a terminal to draw on and to read keys from.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal while it is ours. It is given back when this is dropped.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> Result<Self, CliError> {
        give_modes_back_on_panic();
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            failed(&error)
        })?;
        let screen = Self { terminal };
        // The mouse stays the terminal's, so that text can be selected and copied with it.
        execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange).map_err(|e| failed(&e))?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> Result<(u16, u16), CliError> {
        let size = self.terminal.size().map_err(|e| failed(&e))?;
        Ok((size.width, size.height))
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, app: &App) -> Result<(), CliError> {
        self.terminal.draw(|frame| draw(app, frame)).map_err(|e| failed(&e))?;
        Ok(())
    }

    /// Draws everything anew, whatever another program has left on the screen.
    pub(super) fn redraw(&mut self) -> Result<(), CliError> {
        // Not `clear`: that asks the terminal where the cursor is, and the answer comes among the
        // keys, which another thread reads.
        let (columns, rows) = self.size()?;
        self.terminal.resize(Rect::new(0, 0, columns, rows)).map_err(|e| failed(&e))
    }

    /// Asks the terminal to put a text on its clipboard (OSC 52). Whether it does, it does not
    /// say. False when the text is longer than terminals take.
    pub(super) fn copy(&mut self, text: &str) -> Result<bool, CliError> {
        if text.len() > MAX_COPY {
            return Ok(false);
        }
        let mut out = io::stdout();
        let sequence = format!("\u{1b}]52;c;{}\u{7}", BASE64.encode(text.as_bytes()));
        out.write_all(sequence.as_bytes()).and_then(|()| out.flush()).map_err(|e| failed(&e))?;
        Ok(true)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The hook was first then; twice would put the cursor back to before what it printed.
        if !std::thread::panicking() {
            give_modes_back();
            ratatui::restore();
        }
    }
}

fn give_modes_back() {
    // A terminal that is gone needs nothing back.
    let _ = execute!(io::stdout(), DisableBracketedPaste, DisableFocusChange);
}

/// ratatui's own hook gives back the rest.
fn give_modes_back_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        give_modes_back();
        hook(info);
    }));
}

fn failed(error: &io::Error) -> CliError {
    CliError::io("the terminal cannot be used", error, "pouch --help lists commands that need none")
}

/// Reads keys on a thread of their own: the terminal knows only waiting reads. It ends with the
/// process, or when the terminal is gone.
pub(super) fn keys() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let input = match event {
                Event::Key(key) => Input::Key(key),
                Event::Paste(text) => Input::Paste(text),
                Event::Resize(columns, rows) => Input::Resize(columns, rows),
                Event::FocusGained => Input::Attention(true),
                Event::FocusLost => Input::Attention(false),
                Event::Mouse(_) => continue,
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}
