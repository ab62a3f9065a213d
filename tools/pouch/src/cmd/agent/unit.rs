//! A unit with which the user's systemd starts the agent.

use postroad_cli::{CliError, Printer};

use crate::args::{AgentArgs, ProfileArgs};

pub(super) fn print(
    profile: &ProfileArgs,
    args: &AgentArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let line: Vec<String> =
        super::command_line(profile, args)?.iter().map(|word| quoted(word)).collect();
    let name = format!("postroad-{}", profile.profile);
    printer.out(&format!(
        "[Unit]\nDescription=Postroad agent of the profile {}\n\n\
         [Service]\nExecStart={}\nRestart=on-failure\nRestartSec=10\n\n\
         [Install]\nWantedBy=default.target\n",
        profile.profile.replace('%', "%%"),
        line.join(" ")
    ))?;
    printer.hint(&format!(
        "write it to ~/.config/systemd/user/{name}.service, then:\n  \
         systemctl --user daemon-reload\n  systemctl --user enable --now {name}\n  \
         loginctl enable-linger     (to have it run while you are not logged in)"
    ));
    Ok(())
}

/// A word as a unit's command line takes it literally.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_takes_every_word_literally() {
        assert_eq!(quoted("/a b/pouch"), "\"/a b/pouch\"");
        assert_eq!(quoted("echo \"$HOME\" 100%\n"), "\"echo \\\"$$HOME\\\" 100%%\\n\"");
    }
}
