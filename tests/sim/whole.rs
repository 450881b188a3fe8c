//! One whole server drawn by one seed or script: connections and datagrams of both families, peers of all kinds, timers,
//! signals, and a journal that blocks and fails. First with faults, when only what is promised to every peer is
//! checked; then without, when every peer that does its part must be served.

use std::io::ErrorKind;
use std::time::Duration;

use loopline::event_loop::LoopError;
use loopline::journal::Ack;
use loopline::limits::Limits;

use super::descriptors::Descriptors;
use super::faults::Faults;
use super::peer::Peer;
use super::plan::{Plan, Source};
use super::random::Random;
use super::run::Run;
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
        stop_at,
        stops,
        calm_at,
    } = Draw::from(plan.source.random());
    faults.keep_only(&plan.faults);
    let mut run = Run::new(&mut random, &limits, faults, ack);
    run.server.net().descriptors = Descriptors::new(descriptors_max);
    let mut is_over = false;
    for turn in 0..calm_at {
        for (number, peer) in peers.iter().enumerate() {
            if peer.comes_at == turn && plan.has_peer(number) {
                peer.connect(&mut run);
            }
        }
        send_datagrams(&mut run, &mut random);
        run.server.net().reopen_request |= reopen_at.contains(&turn);
        if stop_at == Some(turn) {
            (0..stops).for_each(|_| run.server.net().request_stop());
            is_over = stop(&mut run, stops);
        } else if let Err(error) = run.turn(true) {
            is_over = has_failed_rightly(&mut run, &error);
        }
        if is_over {
            break;
        }
    }
    if !is_over {
        serve_all_who_are_left(&mut run);
        serve_newcomers(&mut run, &mut random);
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
    stop_at: Option<usize>,
    /// The requests to stop that arrive at once.
    stops: u32,
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
            stop_at: random.one_in(4).then(|| random.below(calm_at)),
            stops: if random.one_in(4) { 2 } else { 1 },
            calm_at,
            random,
        }
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
        Self {
            comes_at: random.below(turns),
            listener: random.below(super::run::LISTENERS),
            capacity: 20 + random.below(wide),
            is_hostile: random.one_in(4),
            random: random.fork(PEER_SCRIPT_BYTES),
        }
    }

    fn connect(&self, run: &mut Run) {
        let net = run.server.net();
        let mut random = self.random.clone();
        let index = net.peers.len();
        let (peer, listener) = if self.is_hostile {
            (Peer::hostile(index, &mut random), 0)
        } else {
            let unread_bytes_max = self.capacity + net.limits.unsent_bytes_max;
            (Peer::of_service(index, self.listener, unread_bytes_max, &mut random), self.listener)
        };
        net.connect(peer, listener, self.capacity);
    }
}

/// What the steps of a peer take of a script at most.
const PEER_SCRIPT_BYTES: usize = 24;

/// Small, so that nearly every run reaches some of them. The timeouts are short and long next to each other.
#[allow(clippy::needless_update, reason = "the other limits keep their default")]
fn limits(random: &mut Random) -> Limits {
    let timeout = |random: &mut Random| {
        Duration::from_millis(
            [100 + random.below_u64(400), 500 + random.below_u64(5000), 60_000][random.below(3)],
        )
    };
    let optional = |random: &mut Random| (!random.one_in(4)).then(|| timeout(random));
    Limits {
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
        drain_timeout: timeout(random),
        accept_pause: Duration::from_millis(1 + random.below_u64(50)),
        ..Limits::default()
    }
}

fn send_datagrams(run: &mut Run, random: &mut Random) {
    let net = run.server.net();
    for socket in &mut net.sockets {
        for _ in 0..random.below(4) {
            socket.send_request(&mut net.random);
        }
    }
}

/// The server has been asked to stop `requests` times: it ends in time, and a second request ends it at once.
fn stop(run: &mut Run, requests: u32) -> bool {
    let start_ms = run.server.net().now_ms;
    let drain_timeout = run.server.net().limits.drain_timeout;
    let (mut turns, mut has_failed) = (0, false);
    while !run.server.is_stopped() {
        if let Err(error) = run.turn(true) {
            let is_expected =
                matches!(&error, LoopError::Journal(error) if error.kind() == ErrorKind::TimedOut);
            has_failed = !is_expected && has_failed_rightly(run, &error);
        }
        turns += 1;
        assert!(requests < 2 || turns < 3, "the second request to stop ends the server at once");
    }
    let took = Duration::from_millis(run.server.net().now_ms - start_ms);
    assert!(took <= drain_timeout + Duration::from_millis(200), "the server takes {took:?} to end");
    assert!(has_failed || run.server.connections() == 0, "connections of a server that has stopped");
    true
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
        let peer = Peer::newcomer(net.peers.len(), random);
        net.connect(peer, 0, 5000);
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
        let is_refused = refusals.iter().any(|refusal| refusal.starts_with(&peer.received));
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
