//! Network namespaces, in which a test has addresses, links and ports of its own. The test runs again, alone, in a
//! process inside of one, and the namespace is gone when that process has ended.

use std::any::type_name;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{PROGRAM, wait_with_output, without_options};

/// What is in a namespace.
#[derive(Clone, Copy)]
pub(crate) enum Network {
    /// The loopback interface.
    Loopback,
    /// The same, and a link to the namespace of the server, whose addresses are 10.9.0.1, 10.9.0.7, `fd09::1` and
    /// `fd09::7`. Those of the test are 10.9.0.2, `fd09::2`, and with `set_freebind` all of 11.0.0.0/8 and `fd11::/16`.
    Link,
}

/// The program, to be started in the other namespace of [`Network::Link`].
pub(crate) fn program_behind_link() -> Command {
    let mut command = without_options("nsenter");
    let process = std::env::var(INSIDE).expect("the test runs in a namespace with a link");
    command.args(["--target", &process, "--net", PROGRAM]);
    command
}

/// Runs `check` in a network namespace, for `test`, the function that calls this one. Where that is not possible,
/// it is skipped, unless `LOOPLINE_NO_SKIP=1`.
pub(crate) fn in_namespace<T: Fn()>(_: T, network: Network, check: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        check();
        return;
    }
    let setup = match network {
        Network::Loopback => LOOPBACK,
        Network::Link => LINK,
    };
    let allowed = unshare(setup).arg("true").stdout(Stdio::null()).output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "no network namespace: {allowed:?}");
        let _ = std::io::stderr().write_all(b"SKIPPED: a network namespace is not available\n");
        return;
    }
    let (_, name) = type_name::<T>().split_once("::").expect("a test is in a crate");
    let mut command = unshare(setup);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = wait_with_output(command.spawn().unwrap());
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && text[0].contains(" 1 passed"), "in a namespace: {}", text.concat());
    eprintln!("{}", text.concat());
}

/// A command in a new namespace after `setup`, without its arguments.
fn unshare(setup: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "sh", "-ec", setup, "sh"]);
    command
}

/// Set in the namespace; with a link, the id of a process in the other one.
const INSIDE: &str = "LOOPLINE_IN_NAMESPACE";

const LOOPBACK: &str = "ip link set lo up; LOOPLINE_IN_NAMESPACE=0 exec \"$@\"";

/// The shell stays in the namespace of the server, and starts the test in another.
const LINK: &str = r#"
    ip link set lo up
    unshare --net sh -ec '
        ip link set lo up
        ip link add peers type veth peer name server netns $PPID
        ip link set peers up
        ip address add 10.9.0.2/16 dev peers
        ip address add fd09::2/48 dev peers nodad
        ip route add local 11.0.0.0/8 dev lo
        ip route add local fd11::/16 dev lo
        nsenter --target $PPID --net sh -ec "
            ip link set server up
            for host in 10.9.0.1 10.9.0.7; do ip address add \$host/16 dev server; done
            for host in fd09::1 fd09::7; do ip address add \$host/48 dev server nodad; done
            ip route add default via 10.9.0.2
            ip -6 route add default via fd09::2
        "
        LOOPLINE_IN_NAMESPACE=$PPID exec "$@"' sh "$@"
    exit $?
"#;
