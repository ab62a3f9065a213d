//! The command line of posthoused.

mod args;
mod config;
mod run;
mod store;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command, Join, ServiceCommand};
use crate::config::ConfigError;
use crate::identity::Identity;
use crate::server::ServerError;

/// Parses the command line, runs it, reports what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(run)) => run::run(&run),
        Some(Command::Init(init)) => config::init(&init),
        Some(Command::Config { command }) => config::config(&command),
        Some(Command::Id { place, qr }) => id(&place, qr),
        Some(Command::Store { command }) => store::store(&command),
        Some(Command::Service { command: ServiceCommand::Unit(join) }) => service_unit(&join),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "posthoused", &mut script);
            print(&script)
        }
        Some(Command::Man) => man(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has enough.
        Err(failure) if failure.exit == 0 => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            if !failure.hint.is_empty() {
                eprintln!("hint: {}", failure.hint);
            }
            ExitCode::from(failure.exit)
        }
    }
}

/// What to tell and how to exit: 1 failed, 2 usage, 4 not found.
pub(crate) struct Failure {
    message: String,
    hint: String,
    exit: u8,
}

impl Failure {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), exit: 1 }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = "posthoused config show prints every key with its value";
        Self { exit: 2, ..Self::new(error.to_string(), hint) }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let hint = match &error {
            ServerError::Listen { .. } => {
                "choose another port with --listen, --p2p-listen or --admin"
            }
            ServerError::Store(postroad_store::StoreError::Locked { .. }) => {
                "one process per data directory: stop the other, or give --data-dir"
            }
            ServerError::Store(_) => "posthoused store verify says what is damaged",
            ServerError::Engine(_) => {
                "nothing was acknowledged that is not on disk; check the disk, then start again"
            }
            ServerError::Net(_) => "nothing acknowledged is lost; start it again, and report this",
            _ => "",
        };
        Self::new(error.to_string(), hint)
    }
}

impl From<postroad_store::StoreError> for Failure {
    fn from(error: postroad_store::StoreError) -> Self {
        ServerError::from(error).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = u8::from(error.kind() != std::io::ErrorKind::BrokenPipe);
        Self { exit, ..Self::new(error.to_string(), "") }
    }
}

/// Writes data to standard output.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    Ok(out.flush()?)
}

fn id(place: &args::Place, qr: bool) -> Result<(), Failure> {
    let dir = place.data_dir()?;
    if !dir.join("node.key").exists() {
        let hint = "posthoused init makes the keys, and so does the first start";
        let message = format!("there is no node in {}", dir.display());
        return Err(Failure { exit: 4, ..Failure::new(message, hint) });
    }
    let identity = Identity::open(&dir).map_err(ServerError::from)?;
    print(format!("{}\n", identity.node()))?;
    if qr { print_qr(&identity.node().to_string()) } else { Ok(()) }
}

fn print_qr(text: &str) -> Result<(), Failure> {
    let code = qrcode::QrCode::new(text.as_bytes())
        .map_err(|e| Failure::new(format!("no QR code: {e}"), ""))?;
    print(code.render::<qrcode::render::unicode::Dense1x2>().build() + "\n")
}

fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print(page)
}

fn service_unit(join: &Join) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let network = match (join.file(), &join.network) {
        // The service has another working directory.
        (Some(file), _) => std::path::absolute(file)?.display().to_string(),
        (None, name) => name.clone().unwrap_or_default(),
    };
    let network = match network.as_str() {
        "" => String::new(),
        // systemd's own signs are doubled.
        network => format!(" --network \"{}\"", network.replace('%', "%%")),
    };
    print(format!(
        "[Unit]\n\
         Description=Postroad node\n\
         After=network-online.target\n\
         Wants=network-online.target\n\n\
         [Service]\n\
         ExecStart={} run --data-dir %S/posthoused{network}\n\
         DynamicUser=yes\n\
         StateDirectory=posthoused\n\
         StateDirectoryMode=0700\n\
         Restart=on-failure\n\
         LimitNOFILE=20000\n\
         NoNewPrivileges=yes\n\
         ProtectSystem=strict\n\
         ProtectHome=yes\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        program.display()
    ))
}
