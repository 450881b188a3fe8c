//! Handlers, on the simulated network and on that of the kernel.

mod chat;
mod drawn;
mod example;
mod handle;
mod life;
mod order;
mod outgoing;
mod paused;
mod relay;
mod script;
mod serial;
mod slow;
mod sources;
mod timers;
