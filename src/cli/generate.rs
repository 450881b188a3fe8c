//! `generate`: manual pages and completions for packages, from the definition of the arguments.

mod man;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Command, Subcommand};
use clap_complete::Shell;

use crate::report::output_file::{WriteError, print};

#[derive(Debug, Args)]
pub(super) struct GenerateArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the manual pages to a folder, which is made if it does not exist
    Man {
        /// Folder of the pages, for example ~/.local/share/man/man1
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print the completions for a shell
    Completions {
        /// Shell that reads the completions
        #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(SHELLS)
            .map(|shell| shell.parse::<Shell>().expect("clap accepts only these names")))]
        shell: Shell,
    },
}

/// The shells that the completions are tested with.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Generates what `arguments` name of `program`.
pub(super) fn run(arguments: &GenerateArguments, program: Command) -> Result<(), WriteError> {
    match &arguments.what {
        What::Man { folder } => man::write(program, folder),
        What::Completions { shell } => print(&completions(&program, *shell)),
    }
}

fn completions(program: &Command, shell: Shell) -> String {
    let mut program = visible(program);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "loopline", &mut script);
    String::from_utf8(script).expect("names and help are UTF-8")
}

/// `program` with only the subcommands that the help lists: completions would also have the others.
fn visible(program: &Command) -> Command {
    let subcommands = program.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    Command::new("loopline")
        .version(env!("CARGO_PKG_VERSION"))
        .about(program.get_about().cloned().unwrap_or_default())
        .args(program.get_arguments())
        .subcommands(subcommands)
}
