//! Hosts of a test: network namespaces with an address each, linked by a bridge in the namespace of the test.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::{output, without_options};

/// Other hosts than that of the test, which end with the test.
pub(crate) struct Hosts {
    /// The address of each, and a process inside.
    hosts: Vec<(&'static str, Child)>,
}

impl Hosts {
    /// One host for each of `addresses`, all in one network of 24 bits. The test itself, which runs
    /// [in a namespace](super::in_namespace), has the addresses `own`.
    pub(crate) fn start(own: &[&str], addresses: &[&'static str]) -> Self {
        shell("ip link add switch type bridge && ip link set switch up");
        for address in own {
            shell(&format!("ip address add {address}/24 dev switch"));
        }
        let mut hosts = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            // It ends with its standard input, and so with the test.
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-ec", "echo ready; read line"]);
            let mut host = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            host.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
            let process = host.id();
            shell(&format!(
                "ip link add host{index} type veth peer name eth0 netns {process}
                 ip link set host{index} master switch up
                 nsenter --target {process} --net sh -ec '
                     ip link set lo up
                     ip link set eth0 up
                     ip address add {address}/24 dev eth0'"
            ));
            hosts.push((*address, host));
        }
        Self { hosts }
    }

    /// `program` on the host at `address`, as a process that has its id and its signals.
    pub(crate) fn command(&self, address: &str, program: &str) -> Command {
        let (_, host) = self.hosts.iter().find(|(host, _)| *host == address).expect("there is such a host");
        let mut command = without_options("nsenter");
        command.args(["--target", &host.id().to_string(), "--net", program]);
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for (_, host) in &mut self.hosts {
            drop(host.stdin.take());
            let _ = host.wait();
        }
    }
}

fn shell(script: &str) {
    let done = output(Command::new("sh").args(["-ec", script]));
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}
