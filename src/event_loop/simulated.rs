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
    /// ```
    /// use std::time::Duration;
    ///
    /// use loopline::event_loop::EventLoop;
    /// use loopline::limits::Limits;
    /// use loopline::service::message::Message;
    /// use loopline::sim::SimNet;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limits = Limits { idle_timeout: Some(Duration::from_secs(600)), ..Limits::default() };
    /// let mut server = EventLoop::new(SimNet::new(1), limits);
    /// let address = server.listen("192.0.2.1:7".parse()?, Box::new(Message::new(1024)))?;
    /// let peer = server.net().connect(address);
    /// server.run_for(Duration::from_secs(599))?; // takes no time
    /// assert!(!server.net().is_closed(peer));
    /// server.run_for(Duration::from_secs(60))?;
    /// assert!(server.net().is_closed(peer)); // it may be closed a sixteenth late
    /// # Ok(())
    /// # }
    /// ```
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
