//! A service manager that passes sockets to the server, and keeps them.

use std::os::fd::OwnedFd;

use command_fds::{CommandFdExt, FdMapping};

use crate::common::{PROGRAM, Serve, without_options};

/// Sockets with names, for servers that are started one after another.
#[derive(Default)]
pub(crate) struct Activator {
    sockets: Vec<(String, OwnedFd)>,
}

impl Activator {
    /// Adds a socket, or anything else that has a descriptor.
    pub(crate) fn with(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push((name.into(), socket.into()));
        self
    }

    /// `loopline serve` with `arguments`, which inherits the sockets.
    pub(crate) fn serve(&self, arguments: &str) -> Serve {
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        self.serve_as(&self.sockets.len().to_string(), Some(&names.join(":")), arguments)
    }

    /// The same with this number and these names in its environment.
    pub(crate) fn serve_as(&self, count: &str, names: Option<&str>, arguments: &str) -> Serve {
        let mut command = without_options("sh");
        command.args(["-c", r#"LISTEN_PID=$$ exec "$@""#, "sh", PROGRAM]);
        command.env("LISTEN_FDS", count);
        if let Some(names) = names {
            command.env("LISTEN_FDNAMES", names);
        }
        let mappings = self
            .sockets
            .iter()
            .zip(3..)
            .map(|((_, socket), child_fd)| FdMapping { parent_fd: socket.try_clone().unwrap(), child_fd });
        command.fd_mappings(mappings.collect()).unwrap();
        Serve::by(command, arguments)
    }
}
