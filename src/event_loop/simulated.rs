//! Driving a server on the simulated network.

use std::time::Duration;

use crate::event_loop::{EventLoop, LoopError};
use crate::net::sim::SimNet;

impl EventLoop<SimNet> {
    /// Runs turns until nothing more happens without the test. The simulated clock stands.
    ///
    /// # Errors
    /// That of the turn.
    pub fn run_until_quiet(&mut self) -> Result<(), LoopError> {
        self.run_for(Duration::ZERO)
    }

    /// Runs turns until `duration` has passed on the simulated clock, and nothing more happens.
    ///
    /// # Errors
    /// That of the turn.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), LoopError> {
        self.net.let_pass(duration);
        while !self.net.is_quiet() && !self.is_stopped() {
            self.turn()?;
        }
        Ok(())
    }
}
