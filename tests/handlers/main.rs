//! Handlers, on the simulated network and on that of the kernel.

mod chat;
mod drawn;
mod handle;
mod life;
mod order;
mod script;
mod slow;
mod sources;
mod timers;
