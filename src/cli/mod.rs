//! The command line: parses arguments, runs a sub-command, and returns the exit status.

#[cfg(feature = "cli")]
mod compare;
#[cfg(feature = "cli")]
mod environment;
#[cfg(feature = "cli")]
mod full;
#[cfg(feature = "cli")]
mod generate;
#[cfg(feature = "cli")]
mod journal;
mod lines;
#[cfg(feature = "cli")]
mod load;
#[cfg(feature = "cli")]
mod logger;
#[cfg(any(test, not(feature = "cli")))]
#[cfg_attr(
    feature = "cli",
    expect(dead_code, unreachable_pub, reason = "the tests compare its parser with the full build's")
)]
mod minimal;
#[cfg(any(test, not(feature = "cli")))]
mod plain_logger;
#[cfg(all(test, feature = "cli"))]
mod schema;
#[cfg(feature = "cli")]
mod serve;
#[cfg(all(test, feature = "cli"))]
mod tests;

use std::ops::RangeInclusive;

use crate::journal::{Ack, Format};
use crate::server::options::{Model, Sandbox};

#[cfg(all(fuzzing, feature = "cli"))]
pub use full::parse_arguments;
#[cfg(feature = "cli")]
pub use full::run;
#[cfg(not(feature = "cli"))]
pub use minimal::run;

/// The values of `--model`.
const MODELS: [(&str, Model); 2] = [("loop", Model::Loop), ("threads", Model::Threads)];

/// The values of `--journal-format`.
const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("json", Format::Json)];

/// The values of `--ack`.
const ACKS: [(&str, Ack); 3] =
    [("received", Ack::Received), ("written", Ack::Written), ("synced", Ack::Synced)];

/// Exit status of a usage error.
#[cfg(feature = "cli")]
const USAGE_STATUS: u8 = 2;

/// The values of `--sandbox`.
const SANDBOXES: [(&str, Sandbox); 3] = [("auto", Sandbox::Auto), ("on", Sandbox::On), ("off", Sandbox::Off)];

/// Makes completions of the parser `P` suggest the names of services. An endpoint can be more than a name.
#[cfg(feature = "cli")]
#[derive(Clone)]
struct ServiceNames<P>(P);

#[cfg(feature = "cli")]
impl<P: clap::builder::TypedValueParser> clap::builder::TypedValueParser for ServiceNames<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<P::Value, clap::Error> {
        self.0.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        Some(Box::new(crate::service::ALL.iter().map(|service| service.name.into())))
    }
}

/// Parses a positive number, for options such as `--max-connections`.
fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a whole number, at least 1".into())
}

/// A parser of whole numbers in `range`.
fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number: u64| T::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// The numbers of `--backlog`.
const BACKLOGS: RangeInclusive<u64> = 1..=65_535;

/// Logs that an option is set by the name that its `variable` had before variables named their command.
fn warn_of_former_variable(variable: &str) {
    let Some((_, option)) = variable.strip_prefix("LOOPLINE_").and_then(|name| name.split_once('_')) else {
        return;
    };
    let former = format!("LOOPLINE_{option}");
    if std::env::var_os(&former).is_some() {
        log::warn!("{former} is not read, set {variable} instead");
    }
}

/// The values of options, for the end of the help.
#[cfg(feature = "cli")]
const UNITS: &str = "\
DUR is a number of seconds, or one with a unit (ms, s, m, h, d), as in 30 or 250ms. SIZE is a number of bytes, or \
one with a unit (B, KiB, MiB, GiB), as in 512 or 64KiB.";
