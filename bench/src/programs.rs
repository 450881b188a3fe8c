//! The servers and the drivers: their paths, and how they are built.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A server and its command.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) command: Vec<OsString>,
    pub(crate) port: PortIs,
}

/// Where a server reports its port.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PortIs {
    /// At the end of the first line of standard output.
    Printed,
    /// In the log on standard error, as `listening: SERVICE tcp|udp ADDRESS:PORT`.
    Logged,
}

/// The name of the reference server.
pub(crate) const BARE_C: &str = "bare C";

/// The name of loopline in tables.
pub(crate) const OURS: &str = "loopline";

/// The name of its other model in tables.
pub(crate) const OURS_THREADS: &str = "loopline --model threads";

/// The built programs.
pub(crate) struct Programs {
    root: PathBuf,
    target: PathBuf,
    go: Option<PathBuf>,
    /// `None` if liburing is not installed.
    uring: Option<PathBuf>,
}

impl Programs {
    /// Builds the programs, except those of this package, which are built with it.
    pub(crate) fn build() -> Result<Self> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the package has no parent")?.to_owned();
        // bench/run puts this program into bench/release/ of the target directory.
        let own = std::env::current_exe()?;
        let target =
            own.ancestors().nth(3).context("this program is not where bench/run puts it")?.to_owned();
        let mut programs = Self { root, target, go: None, uring: None };
        programs.cargo(&["--release", "--bins"], "")?;
        programs.build_c()?;
        if is_installed("go") {
            let server = programs.target.join("bench/go-server");
            let mut go = Command::new("go");
            go.current_dir(programs.root.join("bench/go")).env("CGO_ENABLED", "0");
            run(go.args(["build", "-o"]).arg(&server).arg("."))?;
            programs.go = Some(server);
        }
        Ok(programs)
    }

    /// Builds the minimal program and returns its path.
    pub(crate) fn build_minimal(&self) -> Result<PathBuf> {
        self.cargo(&["--profile", "minimal", "--no-default-features"], "minimal-build")?;
        Ok(self.target.join("minimal-build/minimal/loopline"))
    }

    /// Builds the minimal program with the service `message` alone, and returns its path.
    pub(crate) fn build_message_alone(&self) -> Result<PathBuf> {
        let arguments = ["--profile", "minimal", "--no-default-features", "--features", "only,message"];
        self.cargo(&arguments, "minimal-message")?;
        Ok(self.target.join("minimal-message/minimal/loopline"))
    }

    /// Builds the chat room of the examples, as a program that embeds the loop.
    pub(crate) fn build_chat(&self) -> Result<Program> {
        let features = ["--no-default-features", "--features", "handlers,signals"];
        self.cargo(&[&["--release", "--example", "chat"], &features[..]].concat(), "")?;
        Ok(printed(OURS, self.target.join("release/examples/chat"), &["127.0.0.1:0"]))
    }

    /// The bare chat rooms: with a write to a member for each line, and for all lines of a read.
    pub(crate) fn bare_broadcast(&self) -> [Program; 2] {
        self.bare_broadcast_of("broadcast_server")
    }

    /// The same for valgrind.
    pub(crate) fn bare_broadcast_for_any(&self) -> [Program; 2] {
        self.bare_broadcast_of("broadcast_server_any")
    }

    fn bare_broadcast_of(&self, program: &str) -> [Program; 2] {
        let server = self.driver(program);
        [
            printed(BARE_C, server.clone(), &["0"]),
            printed("bare C, a write per read", server, &["0", "--joined"]),
        ]
    }

    fn cargo(&self, arguments: &[&str], target: &str) -> Result<()> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).args(["build", "--locked", "--quiet"]).args(arguments);
        run(cargo.arg("--target-dir").arg(self.target.join(target)))
    }

    fn build_c(&mut self) -> Result<()> {
        let folder = self.target.join("bench/c");
        std::fs::create_dir_all(&folder)?;
        let native: &[&str] = &["-march=native"];
        // Valgrind lacks some instructions of newer processors, so its program is built for a generic one.
        let sources = SOURCES.map(|name| (name, name.to_owned(), native));
        let generic = COUNTED.map(|name| (name, format!("{name}_any"), &[][..]));
        for (source, program, flags) in sources.into_iter().chain(generic) {
            run(compiler().args(flags).arg("-o").args([folder.join(program), self.c(source)]))?;
        }
        // The first is successful if there is such a header.
        if compiler()
            .args(["-E", "-include", "liburing.h", "-x", "c", "/dev/null"])
            .output()?
            .status
            .success()
        {
            let program = folder.join("uring_server");
            let mut compiler = compiler();
            compiler.args(native).arg("-o").args([&program, &self.c("uring_server")]).arg("-luring");
            run(&mut compiler)?;
            self.uring = Some(program);
        }
        Ok(())
    }

    /// The path of C source.
    fn c(&self, name: &str) -> PathBuf {
        self.root.join(format!("bench/c/{name}.c"))
    }

    /// The path of loopline.
    pub(crate) fn loopline(&self) -> PathBuf {
        self.target.join("release/loopline")
    }

    /// The path of a C driver.
    pub(crate) fn driver(&self, name: &str) -> PathBuf {
        self.target.join("bench/c").join(name)
    }

    /// `loopline serve` with `arguments`, without a journal.
    pub(crate) fn serve(&self, name: &'static str, arguments: &[&str]) -> Program {
        self.serve_with(name, arguments, "none".as_ref())
    }

    fn serve_with(&self, name: &'static str, arguments: &[&str], journal: &OsStr) -> Program {
        let mut command = vec![self.loopline().into_os_string(), "serve".into()];
        command.extend(arguments.iter().map(OsString::from));
        command.extend(["--log", "info", "--journal"].map(OsString::from));
        command.push(journal.into());
        Program { name, command, port: PortIs::Logged }
    }

    pub(crate) fn ours(&self) -> Program {
        self.serve(OURS, &["message=0"])
    }

    pub(crate) fn bare_c(&self) -> Program {
        printed(BARE_C, self.driver("epoll_server"), &[])
    }

    /// The bare server for valgrind.
    pub(crate) fn bare_c_for_any(&self) -> Program {
        printed(BARE_C, self.driver("epoll_server_any"), &[])
    }

    /// The file of servers with a journal, on the file system of the target directory.
    pub(crate) fn journal(&self) -> PathBuf {
        self.target.join("bench/journal")
    }

    /// loopline with `file` as its journal.
    pub(crate) fn ours_recording(&self, file: &Path, ack: &str) -> Program {
        self.serve_with(OURS, &["message=0", "--ack", ack], file.as_os_str())
    }

    /// The bare server that writes the same lines to `file`.
    pub(crate) fn bare_c_recording(&self, file: &Path, is_synced: bool) -> Program {
        self.recording("journal_server", file, is_synced)
    }

    /// The same for valgrind.
    pub(crate) fn bare_c_recording_for_any(&self, file: &Path) -> Program {
        self.recording("journal_server_any", file, false)
    }

    fn recording(&self, program: &str, file: &Path, is_synced: bool) -> Program {
        let mut server = printed(BARE_C, self.driver(program), &[]);
        server.command.push(file.into());
        server.command.extend(is_synced.then(|| "--sync".into()));
        server
    }

    /// The bare UDP server.
    pub(crate) fn bare_udp(&self, name: &'static str, batch: &str, address: &str) -> Program {
        printed(name, self.driver("udp_server"), &[batch, address])
    }

    /// The bare server for large bodies, and the same with `SO_RCVLOWAT`.
    pub(crate) fn bare_c_for_large_bodies(&self) -> [Program; 2] {
        let server = self.driver("large_server");
        [
            printed(BARE_C, server.clone(), &["0"]),
            printed("bare C, SO_RCVLOWAT", server, &["0", "--low-water"]),
        ]
    }

    /// The bare server with `io_uring`; `None` if liburing is not installed.
    pub(crate) fn bare_uring(&self) -> Option<Program> {
        self.uring.as_ref().map(|program| printed("bare C, io_uring", program.clone(), &[]))
    }

    /// The server on tokio, on one thread.
    pub(crate) fn tokio(&self) -> Program {
        printed("tokio, current thread", self.own("tokio-server"), &["current"])
    }

    /// The path of a server of this package.
    fn own(&self, name: &str) -> PathBuf {
        self.target.join("bench/release").join(name)
    }

    /// All servers of `message`, the bare one first and loopline second; and the reason if one is left out.
    pub(crate) fn message_servers(&self) -> (Vec<Program>, Option<String>) {
        let mut servers = vec![
            self.bare_c(),
            self.ours(),
            self.tokio(),
            printed("tokio, many threads", self.own("tokio-server"), &["multi"]),
            self.serve(OURS_THREADS, &["message=0", "--model", "threads"]),
            printed("a thread each", self.own("threads-server"), &[]),
        ];
        servers.extend(self.go.as_ref().map(|go| printed("Go", go.clone(), &[])));
        (servers, self.go.is_none().then(|| "Go: go is not installed (Debian: golang-go)".into()))
    }
}

/// The C programs, except that with liburing.
const SOURCES: [&str; 14] = [
    "epoll_server",
    "journal_server",
    "large_server",
    "udp_server",
    "broadcast_server",
    "closed_loop",
    "broadcast",
    "storm",
    "one_shot",
    "one_shot_minimum",
    "large_driver",
    "udp_driver",
    "clock",
    "tail",
];

/// Those that run under valgrind too.
const COUNTED: [&str; 3] = ["epoll_server", "journal_server", "broadcast_server"];

fn printed(name: &'static str, program: PathBuf, arguments: &[&str]) -> Program {
    let arguments = arguments.iter().map(OsString::from);
    Program {
        name,
        command: std::iter::once(program.into()).chain(arguments).collect(),
        port: PortIs::Printed,
    }
}

/// The C compiler, with the options for all programs.
fn compiler() -> Command {
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-O2", "-Wall", "-Wextra"]).stdin(Stdio::null());
    compiler
}

/// Whether the command is in `PATH`.
pub(crate) fn is_installed(command: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(command).is_file())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
