//! The command line: arguments in, exit status out.

#[cfg(feature = "cli")]
mod compare;
#[cfg(feature = "cli")]
mod full;
#[cfg(feature = "cli")]
mod load;
#[cfg(feature = "cli")]
mod logger;
#[cfg(any(test, not(feature = "cli")))]
#[cfg_attr(
    feature = "cli",
    expect(dead_code, unreachable_pub, reason = "only its parser is used, by the tests")
)]
mod minimal;
#[cfg(all(test, feature = "cli"))]
mod tests;

#[cfg(feature = "cli")]
pub use full::run;
#[cfg(not(feature = "cli"))]
pub use minimal::run;
