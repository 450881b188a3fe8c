//! Options that are set by environment variables, `LOOPLINE_COMMAND_OPTION`: errors name the variable.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// Parses `arguments`, which take precedence over the environment.
///
/// # Errors
/// That of `clap`. If the value of a variable is invalid, it names the variable instead of the option.
pub(super) fn parse(command: &Command, arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
    command.clone().try_get_matches_from(arguments).map_err(|mut error| {
        if let Some(variable) = invalid_variable(&error, command, arguments) {
            error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
        }
        error
    })
}

/// The variable whose value is the reason for `error`.
fn invalid_variable(error: &clap::Error, command: &Command, arguments: &[OsString]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else { return None };
    let without = without_environment(command.clone()).mut_subcommands(without_environment);
    if without.try_get_matches_from(arguments).is_err_and(|other| other.to_string() == error.to_string()) {
        // The argument is invalid, not the variable.
        return None;
    }
    let invalid = invalid.strip_prefix("--")?.split(' ').next();
    let subcommand = arguments.iter().find_map(|name| command.find_subcommand(name))?;
    let mut options = subcommand.get_arguments().chain(command.get_arguments());
    let variable = options.find(|option| option.get_long() == invalid)?.get_env()?;
    Some(variable.to_string_lossy().into_owned())
}

fn without_environment(command: Command) -> Command {
    command.mut_args(|option| option.env(None::<&str>))
}

/// The variables of the options of `command`.
pub(super) fn variables(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(|option| option.get_env()?.to_str())
}

/// The variables that set the options of `command`.
pub(super) fn used_variables<'a>(command: &'a Command, matches: &ArgMatches) -> Vec<&'a str> {
    let is_used = |id| matches.value_source(id) == Some(ValueSource::EnvVariable);
    let options = command.get_arguments().filter(|option| is_used(option.get_id().as_str()));
    options.filter_map(|option| option.get_env()?.to_str()).collect()
}
