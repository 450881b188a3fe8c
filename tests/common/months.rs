//! The replies of `month`, for the tests of processes and of the simulation.

/// What `month` replies to 1 to 12.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
