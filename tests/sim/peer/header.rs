//! Headers of the PROXY protocol that simulated peers send: right, wrong, or never complete. What a wrong one is refused
//! for does not depend on how its bytes arrive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sim::random::Random;

/// A header, and what it means.
#[derive(Debug, Clone)]
pub struct Header {
    pub bytes: Vec<u8>,
    pub meaning: Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The peer is this one, or the proxy itself.
    Peer(Option<SocketAddr>),
    /// It is refused for this reason.
    Wrong(String),
    /// More bytes would have to follow.
    Cut,
}

impl Header {
    /// A header of any kind. `port` is that of the client.
    pub fn draw(port: u16, random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::wrong(random),
            1 => {
                let mut header = Self::complete(1 + random.below(3), port, random);
                let cut = random.below(header.bytes.len());
                header.bytes.truncate(cut);
                Self { meaning: Meaning::Cut, ..header }
            }
            _ => Self::complete(1 + random.below(3), port, random),
        }
    }

    /// A complete header. It may name a client, of the network with this number.
    pub fn complete(network: usize, port: u16, random: &mut Random) -> Self {
        let network = u8::try_from(network).unwrap();
        let v4 = SocketAddr::from((Ipv4Addr::new(192, 0, 2, network), port));
        let v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 9, network.into(), 0, 0, 0, 1), port));
        let line = |client: IpAddr| format!("{client} {client} {port} 443\r\n");
        let tlv = [&[0xea, 0, 200][..], &[b't'; 200]].concat();
        let (bytes, client) = match random.below(10) {
            0 => (format!("PROXY TCP4 {}", line(v4.ip())).into_bytes(), Some(v4)),
            1 => (format!("PROXY TCP6 {}", line(v6.ip())).into_bytes(), Some(v6)),
            2 => {
                let mapped = Ipv4Addr::new(192, 0, 2, network).to_ipv6_mapped();
                (format!("PROXY TCP6 {}", line(mapped.into())).into_bytes(), Some(v4))
            }
            3 => (binary(PROXY, TCP4, &addresses(v4)), Some(v4)),
            4 => (binary(PROXY, TCP6, &addresses(v6)), Some(v6)),
            5 => (binary(PROXY, TCP4, &[addresses(v4), tlv].concat()), Some(v4)),
            6 => (b"PROXY UNKNOWN\r\n".to_vec(), None),
            7 => (format!("PROXY UNKNOWN {}", line(v4.ip())).into_bytes(), None),
            8 => (binary(LOCAL, UNSPECIFIED, &vec![0xff; random.below(30)]), None),
            _ => (binary(PROXY, [UNSPECIFIED, UDP4][random.below(2)], &addresses(v4)), None),
        };
        Self { bytes, meaning: Meaning::Peer(client) }
    }

    fn wrong(random: &mut Random) -> Self {
        let client = SocketAddr::from(([192, 0, 2, 1], 9));
        // The first byte that cannot be one of a header is the last byte of each.
        let cases: [(Vec<u8>, &str); 7] = [
            (b"G".to_vec(), "expected a PROXY header, and received 'G'"),
            (b"PROXY!".to_vec(), "expected a PROXY header, and received 'PROXY!'"),
            (
                [SIGNATURE, &[0x11]].concat(),
                "bad PROXY header: its version is not 2, or its command neither LOCAL nor PROXY",
            ),
            (
                [SIGNATURE, &[PROXY, TCP4, 0xff, 0xff]].concat(),
                "bad PROXY header: it announces 65551 bytes, the limit is 1024",
            ),
            (
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n".to_vec(),
                "bad PROXY header: the line does not end in CR LF",
            ),
            ([&b"PROXY "[..], &[b'1'; 101]].concat(), "bad PROXY header: no line of at most 107 bytes"),
            (
                binary(PROXY, TCP4, &[addresses(client), vec![3, 0, 4, 0, 0, 0, 0]].concat()),
                "bad PROXY header: its checksum is wrong",
            ),
        ];
        let (bytes, reason) = cases[random.below(cases.len())].clone();
        Self { bytes, meaning: Meaning::Wrong(reason.to_owned()) }
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family, high, low], rest].concat()
}

/// Source and destination, and their ports.
fn addresses(client: SocketAddr) -> Vec<u8> {
    let ip = match client.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    [&ip[..], &ip, &client.port().to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const UNSPECIFIED: u8 = 0;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
