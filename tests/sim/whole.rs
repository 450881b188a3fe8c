//! One whole server drawn by one seed or script: connections and datagrams of both families, peers of all kinds, timers,
//! signals, and a journal that blocks and fails. First with faults, when only what is promised to every peer is
//! checked; then without, when every peer that does its part must be served.

use std::io::ErrorKind;
use std::time::Duration;

use loopline::event_loop::LoopError;
use loopline::frame::HEADER_BYTES;
use loopline::journal::Ack;
use loopline::limits::Limits;

use super::descriptors::Descriptors;
use super::faults::Faults;
use super::peer::{MESSAGE_BYTES_MAX, Peer};
use super::plan::{Plan, Source};
use super::random::Random;
use super::run::{LISTENERS, Run, SERVICES};
use super::scene::framed;

/// What has become of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Peers that were served.
    pub served: usize,
    /// Datagrams of `month` that were answered.
    pub answered: u64,
    pub turns: usize,
    /// The hash of all system calls and their outcomes.
    pub trace: u64,
}

/// The whole run that `source` draws.
pub fn plan(source: Source) -> Plan {
    let draw = Draw::from(source.random());
    Plan { source, peers: (0..draw.peers.len()).collect(), faults: draw.faults.names() }
}

/// Runs `plan`, and panics if anything is wrong.
pub fn run(plan: &Plan) -> Outcome {
    let Draw {
        mut random,
        limits,
        mut faults,
        ack,
        descriptors_max,
        peers,
        reopen_at,
        stop,
        is_inherited,
        calm_at,
    } = Draw::from(plan.source.random());
    faults.keep_only(&plan.faults);
    let mut run = if is_inherited {
        Run::with_inherited_listeners(&mut random, &limits, faults, ack)
    } else {
        Run::new(&mut random, &limits, faults, ack)
    };
    run.server.net().descriptors = Descriptors::new(descriptors_max);
    let mut stopping = None;
    let mut is_over = false;
    for turn in 0.. {
        if turn < calm_at {
            for (number, peer) in peers.iter().enumerate() {
                if peer.comes_at == turn && plan.has_peer(number) {
                    peer.connect(&mut run);
                }
            }
            send_datagrams(&mut run, &mut random);
            run.server.net().reopen_request |= reopen_at.contains(&turn);
        } else if stopping.is_none() {
            break;
        }
        for _ in stop.iter().flat_map(Stop::turns).filter(|at| *at == turn) {
            run.server.net().request_stop();
            stopping.get_or_insert(run.server.net().now_ms);
        }
        is_over = turn_with_faults(&mut run, stopping);
        if is_over {
            break;
        }
    }
    if !is_over {
        serve_all_who_are_left(&mut run);
        serve_newcomers(&mut run, &mut random);
        close_in_time(&mut run, &mut random);
    }
    check_peers(&mut run);
    let served = run.check_end();
    let answered = run.server.net().sockets.iter().map(|socket| socket.month.replies).sum();
    Outcome { served, answered, turns: run.turns, trace: run.trace() }
}

/// All that is drawn, but for what is drawn with each call.
struct Draw {
    random: Random,
    limits: Limits,
    faults: Faults,
    ack: Ack,
    descriptors_max: usize,
    peers: Vec<PeerDraw>,
    /// When the journal is to be opened again.
    reopen_at: [usize; 2],
    stop: Option<Stop>,
    /// Another process has the listeners too.
    is_inherited: bool,
    /// The turn after which there are no faults.
    calm_at: usize,
}

impl Draw {
    fn from(mut random: Random) -> Self {
        let limits = limits(&mut random);
        let faults = Faults::draw_any(&mut random);
        let calm_at = 50 + random.below(300);
        let peers = (0..=random.below(30)).map(|_| PeerDraw::draw(&mut random, calm_at)).collect();
        Self {
            limits,
            faults,
            ack: [Ack::Received, Ack::Written, Ack::Synced][random.below(3)],
            descriptors_max: if random.one_in(4) { 5 + random.below(10) } else { usize::MAX },
            peers,
            reopen_at: [random.below(400), random.below(400)],
            stop: random.one_in(3).then(|| Stop::draw(&mut random, calm_at)),
            is_inherited: random.one_in(4),
            calm_at,
            random,
        }
    }
}

/// The turns in which a stop is requested.
struct Stop {
    first: usize,
    second: Option<usize>,
}

impl Stop {
    fn draw(random: &mut Random, turns: usize) -> Self {
        let first = random.below(turns);
        // At once, or while the server drains.
        let after = [1, 60][random.below(2)];
        Self { first, second: random.one_in(3).then(|| first + random.below(after)) }
    }

    fn turns(&self) -> impl Iterator<Item = usize> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

/// Each peer has a generator of its own, so that it does the same in a run with fewer peers.
struct PeerDraw {
    comes_at: usize,
    listener: usize,
    capacity: usize,
    is_hostile: bool,
    random: Random,
}

impl PeerDraw {
    fn draw(random: &mut Random, turns: usize) -> Self {
        let wide = [50, 500, 5000][random.below(3)];
        let listener = random.below(LISTENERS + 2).min(LISTENERS);
        Self {
            comes_at: random.below(turns),
            listener,
            capacity: 20 + random.below(wide),
            is_hostile: listener < LISTENERS && random.one_in(4),
            random: random.fork(PEER_SCRIPT_BYTES),
        }
    }

    fn connect(&self, run: &mut Run) {
        let net = run.server.net();
        let mut random = self.random.clone();
        let index = net.peers.len();
        let (peer, listener) = if self.is_hostile {
            let is_proxied = self.listener >= SERVICES && self.listener < LISTENERS;
            let listener = if is_proxied { SERVICES } else { 0 };
            (Peer::hostile(index, is_proxied, &mut random), listener)
        } else {
            let unread_bytes_max = self.capacity + net.limits.unsent_bytes_max;
            (Peer::of_service(index, self.listener, unread_bytes_max, &mut random), self.listener)
        };
        net.connect(peer, listener, self.capacity);
    }
}

/// What the steps of a peer take of a script at most.
const PEER_SCRIPT_BYTES: usize = 32;

/// Small, so that nearly every run reaches some of them. The timeouts are short and long next to each other.
#[allow(clippy::needless_update, reason = "the other limits keep their default")]
fn limits(random: &mut Random) -> Limits {
    let timeout = |random: &mut Random| {
        Duration::from_millis(
            [100 + random.below_u64(400), 500 + random.below_u64(5000), 60_000][random.below(3)],
        )
    };
    let optional = |random: &mut Random| (!random.one_in(4)).then(|| timeout(random));
    let limits = Limits {
        connections_max: if random.one_in(2) { 1 + random.below(20) } else { 1000 },
        connections_per_source_max: random.one_in(4).then(|| 1 + random.below(5)),
        refusals_max: 1 + random.below(6),
        events_per_poll_max: 2 + random.below(40),
        visits_per_turn_max: 1 + random.below(40),
        visits_per_commit_max: 1 + random.below(8),
        answer_bytes_per_commit_max: 1 + random.below(500),
        accepts_per_turn_max: 1 + random.below(4),
        datagrams_per_turn_max: 1 + random.below(40),
        read_bytes_max: 20 + random.below(3000),
        low_water_bytes_max: random.below(4000),
        memory_bytes_max: if random.one_in(3) { 40_000 + random.below(100_000) } else { 1 << 30 },
        unsent_bytes_max: if random.one_in(2) { 5000 } else { random.below(2000) },
        journal_bytes_max: random.below(2000),
        linger_bytes_max: random.below(2000),
        linger_timeout: timeout(random),
        sessions_max: 1 + random.below(10),
        session_timeout: timeout(random),
        frame_timeout: optional(random),
        idle_timeout: optional(random),
        write_timeout: optional(random),
        proxy_header_timeout: timeout(random),
        admin_connections_max: if random.one_in(2) { 1 + random.below(4) } else { 16 },
        admin_idle_timeout: timeout(random),
        admin_read_bytes_max: 1 + random.below(600),
        bulk_bytes_per_turn_max: if random.one_in(2) { 1 + random.below(3000) } else { 256 * 1024 },
        drain_delay: Duration::from_millis([0, 1 + random.below_u64(3000)][random.below(2)]),
        drain_linger_timeout: Duration::from_millis([0, 1 + random.below_u64(1000)][random.below(2)]),
        drain_timeout: timeout(random),
        accept_pause: Duration::from_millis(1 + random.below_u64(50)),
        ..Limits::default()
    };
    // With a small budget, in which newcomers still have two buffers each: a connection may be closed then at any time.
    let is_planned = (80_000..1 << 30).contains(&limits.memory_bytes_max);
    Limits { planned_buffer_bytes: is_planned.then_some(HEADER_BYTES + MESSAGE_BYTES_MAX), ..limits }
}

fn send_datagrams(run: &mut Run, random: &mut Random) {
    let net = run.server.net();
    for socket in &mut net.sockets {
        for _ in 0..random.below(4) {
            socket.send_request(&mut net.random);
        }
    }
}

/// Turns once. Returns whether that was the last turn: the journal has failed, or the server was asked to stop at
/// `stop_ms` and has ended in time.
fn turn_with_faults(run: &mut Run, stop_ms: Option<u64>) -> bool {
    let outcome = run.turn(true);
    let is_timeout =
        |error: &LoopError| matches!(error, LoopError::Journal(error) if error.kind() == ErrorKind::TimedOut);
    let has_failed = match &outcome {
        Ok(()) => false,
        Err(error) if stop_ms.is_some() && is_timeout(error) => false,
        Err(error) => has_failed_rightly(run, error),
    };
    let Some(stop_ms) = stop_ms else { return has_failed };
    let Limits { drain_delay, drain_timeout, .. } = run.server.net().limits;
    let took = Duration::from_millis(run.server.net().now_ms - stop_ms);
    let is_stopped = run.server.is_stopped();
    let is_in_time = took <= drain_delay + drain_timeout + Duration::from_millis(200);
    assert!(is_in_time, "the server takes {took:?} to end");
    assert!(
        !is_stopped || has_failed || run.server.connections() == 0,
        "connections of a server that has stopped"
    );
    is_stopped
}

fn has_failed_rightly(run: &mut Run, error: &LoopError) -> bool {
    let is_cause = matches!(error, LoopError::Journal(error) if error.kind() == ErrorKind::StorageFull);
    assert!(is_cause && run.server.is_stopped(), "{error}");
    assert!(
        run.server.net().disk.lock().unwrap().has_whole_lines(),
        "the file is left with a part of a line"
    );
    true
}

/// There are no faults from now on, and no hostile peers: the others end within a bounded number of turns.
fn serve_all_who_are_left(run: &mut Run) {
    let net = run.server.net();
    net.end_faults();
    for (peer, wire) in net.peers.iter_mut().zip(&mut net.wires) {
        // A refusal may be too long for the network to hold.
        peer.reads = true;
        if peer.is_hostile {
            peer.vanish(wire);
        }
    }
    let last = run.turns + CALM_TURNS_MAX;
    while !run.is_done() {
        run.turn(false).unwrap();
        assert!(run.turns < last, "peers are not served: {}", run.left());
    }
}

/// The server is as good as new: peers that come now are served, each of them.
fn serve_newcomers(run: &mut Run, random: &mut Random) {
    let net = run.server.net();
    let first = net.peers.len();
    // Every other one is of the same source.
    let of_a_source_max = net.limits.connections_per_source_max.unwrap_or(5);
    let newcomers = 5.min(net.limits.connections_max).min(2 * of_a_source_max);
    for _ in 0..newcomers {
        let is_proxied = random.one_in(2);
        let peer = Peer::newcomer(net.peers.len(), is_proxied, random);
        net.connect(peer, if is_proxied { SERVICES } else { 0 }, 5000);
    }
    let last = run.turns + CALM_TURNS_MAX;
    while !run.is_done() {
        run.turn(false).unwrap();
        assert!(run.turns < last, "newcomers are not served: {}", run.left());
    }
    for peer in &run.server.net().peers[first..] {
        assert!(
            peer.is_served(),
            "a newcomer has received only {:?}",
            String::from_utf8_lossy(&peer.received)
        );
    }
}

/// A header that comes too late, and an admin connection that is idle: each is closed at the timeout that it has.
fn close_in_time(run: &mut Run, random: &mut Random) {
    let net = run.server.net();
    let (late, idle) = (net.peers.len(), net.peers.len() + 1);
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let (header_ms, idle_ms) = (ms(net.limits.proxy_header_timeout), ms(net.limits.admin_idle_timeout));
    net.connect(Peer::late(late, header_ms, random), SERVICES + random.below(SERVICES), 5000);
    net.connect(Peer::admin_newcomer(idle), LISTENERS, 5000);
    let last = run.turns + CALM_TURNS_MAX;
    while !run.is_done() {
        run.turn(false).unwrap();
        assert!(run.turns < last, "they are not closed: {}", run.left());
    }
    let net = run.server.net();
    let (late, idle_peer, idle) = (&net.wires[late], &net.peers[idle], &net.wires[idle]);
    assert!(late.sent.is_empty(), "a header that came too late is accepted");
    let [late_ms, quiet_ms] = [(late, late.accepted_ms), (idle, Some(idle.last_read_ms))]
        .map(|(wire, since_ms)| wire.closed_ms.unwrap() - since_ms.unwrap());
    assert!(late_ms <= header_ms + 100, "closed after {late_ms} ms, the time for a header is {header_ms}");
    assert!(idle_peer.is_served(), "an admin newcomer has received {:?}", idle_peer.received);
    assert!(quiet_ms <= idle_ms + 100, "closed after {quiet_ms} ms, the time for an admin peer is {idle_ms}");
}

/// No peer has received what is not its own: a beginning of what it was to receive, or why it was refused.
fn check_peers(run: &mut Run) {
    let net = run.server.net();
    let mut reasons =
        vec![format!("Error: the server is full, it serves {} connections", net.limits.connections_max)];
    if let Some(of_a_source_max) = net.limits.connections_per_source_max {
        reasons.push(format!("Error: your address has {of_a_source_max} connections, which is the limit"));
    }
    let refusals: Vec<Vec<u8>> = reasons.iter().map(|reason| framed(reason)).collect();
    for (index, (peer, wire)) in net.peers.iter().zip(&net.wires).enumerate() {
        let is_refused =
            !wire.is_admin() && refusals.iter().any(|refusal| refusal.starts_with(&peer.received));
        assert!(
            peer.expected.starts_with(&peer.received) || is_refused,
            "peer {index} has received {:?}",
            String::from_utf8_lossy(&peer.received)
        );
        assert!(wire.sent.starts_with(&peer.received), "peer {index} receives what was sent");
    }
}

/// Far more than any run needs: the longest scripts have some hundred steps.
const CALM_TURNS_MAX: usize = 30_000;
