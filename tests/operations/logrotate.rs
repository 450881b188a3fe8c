//! Rotation of the journal: `deploy/logrotate`, with the real logrotate.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::time::{ClockId, clock_gettime};

use crate::common::{MODELS, Serve, Server, eventually, output, without_options};
use crate::is_missing;

const ROTATIONS: usize = 2;
const PEERS: usize = 4;

/// The user `nobody` and the group `nogroup` of Debian, which take the place of `loopline` if the test is run by root.
const NOBODY: u32 = 65534;

#[test]
fn a_rotation_by_logrotate_under_load_loses_and_doubles_no_acknowledged_message() {
    if is_missing("logrotate") {
        return;
    }
    // At the same time, since the names of two rotations need different seconds.
    let tests: Vec<_> =
        MODELS.into_iter().map(|model| thread::spawn(move || rotate_under_load(model))).collect();
    tests.into_iter().for_each(|test| test.join().unwrap());
}

fn rotate_under_load(model: &str) {
    let directory = tempfile::tempdir().unwrap();
    // The journal of the service, and that of an instance.
    let folders = [directory.path().to_owned(), directory.path().join("0")];
    let servers = folders.each_ref().map(|folder| start(folder, model));
    let configuration = configure(directory.path(), &servers);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = servers.iter().map(|server| send_until(&stop, server)).collect();
    for rotation in 1..=ROTATIONS {
        let rotated_before = folders.each_ref().map(|folder| rotated(folder).len());
        assert_eq!(rotated_before, [rotation - 1; 2], "{model}");
        // A name has the second of the rotation.
        let second = seconds();
        eventually("the next second begins", || (seconds() > second).then_some(()));
        rotate(&configuration);
        for folder in &folders {
            let journal = folder.join("journal");
            eventually("the server has made a new journal with messages", || {
                fs::metadata(&journal).is_ok_and(|file| file.len() > 0).then_some(())
            });
        }
    }
    stop.store(true, Ordering::SeqCst);
    for ((folder, server), senders) in folders.iter().zip(servers).zip(senders) {
        let mut acknowledged: Vec<String> =
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        server.stop_cleanly();
        let mut files = rotated(folder);
        assert_eq!(files.len(), ROTATIONS, "{model}");
        files.push(folder.join("journal"));
        let mut recorded: Vec<String> = files.iter().flat_map(|file| messages(file)).collect();
        acknowledged.sort();
        recorded.sort();
        assert!(acknowledged == recorded, "{model}: {} and {}", acknowledged.len(), recorded.len());
    }
}

/// A server with a journal in `folder`, which belongs to the user of the server, as `StateDirectory=` does.
fn start(folder: &Path, model: &str) -> Server {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
    let serve = Serve::new("message=0 --model").arg(model).arg("--journal").arg(folder.join("journal"));
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        return serve.by_user(NOBODY).start();
    }
    serve.start()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Peers of `server` that send until `stop`, and return what was acknowledged.
fn send_until(stop: &Arc<AtomicBool>, server: &Server) -> Vec<thread::JoinHandle<Vec<String>>> {
    (0..PEERS)
        .map(|number| {
            let (stop, mut peer) = (stop.clone(), server.connect("message"));
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let text = format!("{number} {}", acknowledged.len());
                    peer.exchange(&text);
                    acknowledged.push(text);
                }
                acknowledged
            })
        })
        .collect()
}

/// The file of the project, with the folder, the user and the servers of the test.
fn configure(directory: &Path, servers: &[Server]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/logrotate/loopline");
    let mut text = fs::read_to_string(source).unwrap();
    let pids: Vec<String> = servers.iter().map(|server| server.pid().to_string()).collect();
    let user = if is_root() { "    su nobody nogroup\n".into() } else { String::new() };
    let reload = "systemctl try-reload-or-restart loopline.service 'loopline@*.service'";
    for (production, tested) in [
        ("/var/lib/loopline/", format!("{}/", directory.display())),
        ("    su loopline loopline\n", user),
        (reload, format!("kill -HUP {}", pids.join(" "))),
    ] {
        assert!(text.contains(production), "{production}");
        text = text.replace(production, &tested);
    }
    let path = directory.join("logrotate.conf");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn rotate(configuration: &Path) {
    let mut logrotate = without_options("logrotate");
    logrotate.arg("--force").arg("--state").arg(configuration.with_extension("state")).arg(configuration);
    let rotated = output(&mut logrotate);
    let errors = String::from_utf8_lossy(&rotated.stderr);
    assert!(rotated.status.success() && errors.is_empty(), "{errors}");
}

/// The clock of `time(2)`, which logrotate uses: it is a few milliseconds late.
fn seconds() -> i64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec
}

/// The files that were rotated.
fn rotated(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("journal-")).collect()
}

fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "no line is divided");
    text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
}
