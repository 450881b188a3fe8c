//! The recipes of docs/LOAD-TESTING.md, each run as it stands there against the server that it is for.

use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Network, PROGRAM, eventually, in_namespace, output, without_options};
use crate::is_missing;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LOAD-TESTING.md");

/// A server that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_recipe_for_redis_works() {
    run(the_recipe_for_redis_works, "redis", "redis-server --port 6379 --save", |command, _| {
        command.arg("");
    });
}

#[test]
fn the_recipe_for_memcached_works() {
    run(the_recipe_for_memcached_works, "memcached", "memcached -u root -l 127.0.0.1 -p 11211", |_, _| {});
}

#[test]
fn the_recipe_for_nginx_works() {
    run(the_recipe_for_nginx_works, "nginx", "nginx -c", |command, directory| {
        let path = directory.display();
        fs::write(directory.join("index.html"), "hello\n").unwrap();
        let configuration = format!(
            "daemon off; master_process off; user root; pid {path}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:8080; root {path}; }} }}\n"
        );
        fs::write(directory.join("nginx.conf"), configuration).unwrap();
        command.arg(directory.join("nginx.conf"));
    });
}

#[test]
fn the_recipe_for_mosquitto_works() {
    run(the_recipe_for_mosquitto_works, "mosquitto", "mosquitto -c", |command, directory| {
        let path = directory.join("mosquitto.conf");
        fs::write(&path, "listener 1883 127.0.0.1\nallow_anonymous true\nuser root\n").unwrap();
        command.arg(path);
    });
}

#[test]
fn the_recipe_for_dnsmasq_works() {
    const SERVER: &str = "dnsmasq --no-daemon --user=root --conf-file=/dev/null --no-resolv --no-hosts \
        --host-record=test.example,192.0.2.7 --port=5353 --listen-address=127.0.0.1 --bind-interfaces --pid-file";
    run(the_recipe_for_dnsmasq_works, "dnsmasq", SERVER, |_, _| {});
}

/// Runs the recipe `name` against the server that `line` and `configure`, which is passed a directory, start.
fn run<T: Fn()>(test: T, name: &str, line: &str, configure: impl Fn(&mut Command, &Path)) {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap();
    if is_missing(program) {
        return;
    }
    in_namespace(test, Network::Loopback, || {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(program);
        command.args(words.clone()).current_dir(directory.path()).stdout(Stdio::null());
        configure(&mut command, directory.path());
        let _server = Running(command.spawn().unwrap());
        for recipe in recipes(name) {
            wait_for(recipe.split_once("127.0.0.1:").unwrap().1.split_whitespace().next().unwrap(), &recipe);
            for options in ["", "--rate 500", "-c 20 --active 2 --heartbeat 50ms"] {
                check(&recipe, options);
            }
        }
    });
}

/// Waits until the server is there.
fn wait_for(port: &str, recipe: &str) {
    let address = format!("127.0.0.1:{port}");
    eventually("the server listens", || {
        if recipe.contains("tcp=") {
            return TcpStream::connect(&address).ok().map(drop);
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04test\x07example\0\0\x01\0\x01";
        (socket.send(query).is_ok() && socket.recv(&mut [0; 512]).is_ok()).then_some(())
    });
}

/// The commands of the recipe `name`.
fn recipes(name: &str) -> Vec<String> {
    let guide = fs::read_to_string(GUIDE).unwrap();
    let section = guide.split_once(&format!("### {name}\n")).expect("the guide has the recipe").1;
    let block = section.split("```").nth(1).unwrap().strip_prefix("sh\n").expect("it is a script");
    let recipes: Vec<String> = block.split("loopline load ").skip(1).map(str::to_owned).collect();
    assert!(!recipes.is_empty());
    recipes
}

/// Runs a recipe, and checks that each request was answered.
fn check(recipe: &str, options: &str) {
    let script =
        format!("exec {PROGRAM} load {} {options} -d 300ms --timeout 10s --json -", recipe.trim_end());
    let run = output(without_options("sh").arg("-c").arg(&script));
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{script}: {errors}");
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    let messages = &result["messages"];
    assert!(messages["acknowledged"].as_u64().unwrap() >= 20, "{script}: {result:#}");
    assert_eq!(
        (&messages["failed"], &messages["unanswered"]),
        (&0.into(), &0.into()),
        "{script}: {result:#}"
    );
    assert_eq!(result["failures"], Value::Array(Vec::new()), "{script}");
    if options.contains("--heartbeat") {
        assert!(result["heartbeats"]["acknowledged"].as_u64().unwrap() > 0, "{script}: {result:#}");
    }
}
