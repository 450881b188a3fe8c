//! Code that violates each check.
