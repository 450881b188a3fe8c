//! The example `serial`, with a pseudoterminal for a serial port.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::example::Example;

const CLIENTS: usize = 5;

/// More than the port and the kernel keep.
const LONG_BYTES: usize = 300_000;

#[test]
fn clients_share_a_port_that_may_be_slow() {
    let device: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&device).unwrap();
    unlockpt(&device).unwrap();
    let path = ptsname(&device, Vec::new()).unwrap().into_string().unwrap();
    let mut device = File::from(device);
    let mut serial = Example::start("serial", &[&path, "115200"]);

    // A client that has been heard is a member of the group.
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..CLIENTS {
        let mut client = TcpStream::connect(serial.address).unwrap();
        writeln!(client, "client {number}").unwrap();
        expect(&mut device, &format!("client {number}\n"));
        clients.push(client);
    }
    // Nothing is edited or echoed, so each byte arrives as it is.
    let bytes: Vec<u8> = (0..=255).collect();
    device.write_all(&bytes).unwrap();
    for client in &mut clients {
        let mut received = vec![0; bytes.len()];
        client.read_exact(&mut received).unwrap();
        assert_eq!(received, bytes);
    }
    // The device does not read, and two clients send much: nothing is lost.
    let (first, others) = clients.split_at_mut(1);
    std::thread::scope(|scope| {
        scope.spawn(|| first[0].write_all(&vec![b'a'; LONG_BYTES]).unwrap());
        scope.spawn(|| others[0].write_all(&vec![b'b'; LONG_BYTES]).unwrap());
        let mut received = vec![0; 2 * LONG_BYTES];
        device.read_exact(&mut received).unwrap();
        received.sort_unstable();
        let (from_first, from_other) = received.split_at(LONG_BYTES);
        assert!(from_first.iter().all(|byte| *byte == b'a') && from_other.iter().all(|byte| *byte == b'b'));
    });
    // Without its port, the server stops, and says so.
    drop(device);
    assert_eq!(serial.process.wait().unwrap().code(), Some(1));
    clients[0].read_to_end(&mut Vec::new()).unwrap();
}

fn expect(device: &mut File, text: &str) {
    let mut received = vec![0; text.len()];
    device.read_exact(&mut received).unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), text);
}
