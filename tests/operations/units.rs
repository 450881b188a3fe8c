//! The units of systemd: valid, of little exposure, and in accord with the server.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use crate::activator::Activator;
use crate::common::{
    Network, PROGRAM, Peer, Serve, Server, eventually, in_namespace, loopline, output, without_options,
};
use crate::is_missing;

fn unit(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

/// The values of `key` in a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// The names of all units.
fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_units_are_valid_and_the_services_expose_little() {
    if is_missing("systemd-analyze") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut installed = Vec::new();
    for name in names() {
        // A template is checked as one of its instances.
        let path = directory.path().join(name.replace('@', "@1"));
        fs::write(&path, unit(&name).replace("/usr/bin/loopline", PROGRAM)).unwrap();
        installed.push(path);
    }
    assert_eq!(installed.len(), 8);
    let mut analyze = without_options("systemd-analyze");
    let verified = output(analyze.args(["verify", "--man=no"]).args(&installed));
    let errors = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && errors.is_empty(), "{errors}");
    for service in installed.iter().filter(|path| path.extension().unwrap() == "service") {
        let mut analyze = without_options("systemd-analyze");
        // In tenths: 1.5.
        let security = output(analyze.args(["security", "--offline=true", "--threshold=15"]).arg(service));
        assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
    }
}

#[test]
fn the_template_takes_as_much_from_the_process_as_the_service_does() {
    let [service, template] = ["loopline.service", "loopline@.service"].map(unit);
    let hardening = |unit: &str| {
        let lines = unit.lines().skip_while(|line| *line != "User=loopline");
        lines.filter(|line| !line.starts_with("StateDirectory=")).collect::<Vec<_>>().join("\n")
    };
    assert!(hardening(&service).contains("\nSystemCallFilter="));
    assert_eq!(hardening(&service), hardening(&template));
    assert_eq!(values(&template, "StateDirectory"), ["loopline/%i"]);
}

#[test]
fn the_socket_units_have_the_names_and_the_default_addresses_of_the_services() {
    in_namespace(
        the_socket_units_have_the_names_and_the_default_addresses_of_the_services,
        Network::Loopback,
        || {
            let default = Server::start("--metrics 9464");
            let expected = listening(&default);
            default.stop_cleanly();
            let mut activator = Activator::default();
            for name in names().iter().filter(|name| name.ends_with(".socket")) {
                let unit = unit(name);
                let service = values(&unit, "FileDescriptorName")[0];
                assert_eq!(*name, format!("loopline-{service}.socket"));
                assert_eq!(values(&unit, "Service"), ["loopline.service"]);
                for address in values(&unit, "ListenStream") {
                    activator = activator.with(service, TcpListener::bind(address).unwrap());
                }
                for address in values(&unit, "ListenDatagram") {
                    activator = activator.with(service, UdpSocket::bind(address).unwrap());
                }
            }
            let activated = activator.serve("").start();
            assert_eq!(listening(&activated), expected);
            activated.stop_cleanly();
        },
    );
}

/// Each service, its transport and its address.
fn listening(server: &Server) -> Vec<String> {
    let log = server.log();
    let mut lines: Vec<String> =
        log.lines().filter_map(|line| Some(line.split_once("listening: ")?.1.to_owned())).collect();
    lines.sort();
    lines
}

#[test]
fn instances_of_the_template_share_the_ports_and_have_journals_and_metrics_of_their_own() {
    in_namespace(
        instances_of_the_template_share_the_ports_and_have_journals_and_metrics_of_their_own,
        Network::Loopback,
        || {
            let directory = tempfile::tempdir().unwrap();
            let servers = ["0", "1"].map(|instance| start_instance(directory.path(), instance));
            let metrics = servers.each_ref().map(|server| server.addresses("metrics")[0].to_string());
            assert_eq!(metrics, ["127.0.1.0:9464", "127.0.1.1:9464"]);
            // The kernel distributes connections over both.
            let journals = ["0", "1"].map(|instance| directory.path().join(instance).join("journal"));
            eventually("each has received a message", || {
                Peer::connect("127.0.0.1:9999".parse().unwrap()).exchange("text");
                let has_message = |path: &PathBuf| fs::metadata(path).unwrap().len() > 0;
                journals.iter().all(has_message).then_some(())
            });
            servers.into_iter().for_each(|server| drop(server.stop_cleanly()));
        },
    );
}

/// A server with the environment of an instance, whose journal is in `directory`.
fn start_instance(directory: &Path, instance: &str) -> Server {
    let template = unit("loopline@.service")
        .replace("%i", instance)
        .replace("/var/lib/loopline", &directory.display().to_string());
    let states = values(&template, "StateDirectory")[0].strip_prefix("loopline/").unwrap().to_owned();
    fs::create_dir(directory.join(states)).unwrap();
    assert_eq!(values(&template, "ExecStart"), ["/usr/bin/loopline serve $ENDPOINTS"]);
    let mut serve = Serve::by(loopline(), "");
    for (name, value) in values(&template, "Environment")
        .iter()
        .flat_map(|line| line.split(' ').map(|variable| variable.split_once('=').unwrap()))
    {
        serve = serve.env(name, value);
    }
    serve.start()
}
