//! What the kernel has dropped before a program could see it, from the files of `/proc/net`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

/// A UDP socket of the machine. `procfs` leaves out the drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpSocketDrops {
    pub(crate) local_port: Option<u16>,
    pub(crate) remote_port: Option<u16>,
    pub(crate) inode: u64,
    /// Datagrams that it had no room for.
    pub(crate) drops: u64,
}

/// The sockets in the text of `/proc/net/udp` or `udp6`. The kernel lists them in parts: when others are opened or closed
/// between two parts, it leaves some out and lists some twice.
pub(crate) fn udp_sockets(text: &str) -> impl Iterator<Item = UdpSocketDrops> {
    text.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, _, _, _, _, _, inode, .., drops] = words[..] else { return None };
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        Some(UdpSocketDrops {
            local_port: port(local),
            remote_port: port(remote),
            inode: inode.parse().unwrap_or(0),
            drops: drops.parse().unwrap_or(0),
        })
    })
}

/// Datagrams that the kernel has dropped at some sockets.
#[derive(Debug)]
pub(crate) struct SocketDrops {
    /// By inode. A count stays when the kernel leaves the socket out.
    drops: HashMap<u64, u64>,
}

impl SocketDrops {
    /// Of the sockets with these inodes.
    pub(crate) fn of(inodes: impl Iterator<Item = u64>) -> Self {
        Self { drops: inodes.map(|inode| (inode, 0)).collect() }
    }

    /// The sum so far.
    ///
    /// # Errors
    /// The files cannot be read, or are so long that reading them would delay the server.
    pub(crate) fn read(&mut self) -> io::Result<u64> {
        for path in ["/proc/self/net/udp", "/proc/self/net/udp6"] {
            match read_short(path) {
                // A machine without IPv6 has no such file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => self.update(&text?),
            }
        }
        Ok(self.drops.values().sum())
    }

    fn update(&mut self, text: &str) {
        for socket in udp_sockets(text) {
            if let Some(drops) = self.drops.get_mut(&socket.inode) {
                *drops = socket.drops;
            }
        }
    }
}

/// Connections that the kernel has dropped because they waited behind a full backlog, on the whole machine or, in a
/// container, of its network.
///
/// # Errors
/// The counter cannot be read.
pub(crate) fn listen_overflows() -> io::Result<u64> {
    let text = read_short("/proc/self/net/netstat")?;
    listen_overflows_in(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Each line of numbers follows one of their names.
fn listen_overflows_in(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let index = lines.next()?.split(' ').position(|name| name == "ListenOverflows")?;
    lines.next()?.split(' ').nth(index)?.parse().ok()
}

fn read_short(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let bytes = File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    if bytes as u64 == FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Eight thousand sockets: a few milliseconds.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_ports_an_inode_and_drops() {
        let text = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
             1: 0100007F:1F9B 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 11 2 0 40\n\
             2: cut\n";
        let expected =
            UdpSocketDrops { local_port: Some(0x1f9b), remote_port: Some(0), inode: 11, drops: 40 };
        assert_eq!(udp_sockets(text).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn overflows_are_found_by_their_name() {
        let text = "TcpExt: A ListenOverflows B\nTcpExt: 1 22 3\nIpExt: C\nIpExt: 4\n";
        assert_eq!(listen_overflows_in(text), Some(22));
        assert_eq!(listen_overflows_in("IpExt: C\nIpExt: 4\n"), None);
        assert!(listen_overflows().is_ok());
    }

    #[test]
    fn drops_are_those_of_the_given_sockets_and_stay_when_the_kernel_leaves_one_out() {
        let line = |inode: u64, drops: u64| format!("1: 0:0 0:0 07 0:0 0:0 0 0 0 {inode} 2 0 {drops}\n");
        let mut drops = SocketDrops::of([11, 12].into_iter());
        let sums = [
            [line(11, 40), line(12, 2), line(13, 500)].concat(),
            line(12, 3),
            [line(12, 4), line(11, 41), line(12, 5)].concat(),
        ]
        .map(|lines| {
            drops.update(&format!("the names\n{lines}"));
            drops.drops.values().sum::<u64>()
        });
        assert_eq!(sums, [42, 43, 46]);
        assert_eq!(SocketDrops::of(std::iter::empty()).read().unwrap(), 0);
    }
}
