//! A handler that does what its peers ask for, and remembers what it was told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loopline::CloseReason;
use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, ConnId, Context, Group, Handle, Handler};
use loopline::limits::Limits;
use loopline::sim::{SimNet, SimPeer};

/// Everything that a [`Script`] was told, one line each.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Each line of a peer is an order:
///
/// ```text
///   say TEXT         send TEXT to this peer
///   join N, leave N  join or leave a group
///   publish N TEXT   publish TEXT to a group
///   to K TEXT        send TEXT to the K-th connection that was opened
///   end, end K       end this connection, or the K-th
///   refuse TEXT      refuse the input
///   stay             do not end when the peer ends its side
///   after MS         set the timer
///   never            cancel the timer
///   then TEXT        send TEXT when the peer has taken everything before
///   record TEXT      write TEXT to the journal, send it to this peer, and publish it twice to group 1
///   connect MS PORT  connect to another server at this port of 203.0.113.1, for so long
///   shut, shut K     end our side of this connection, or the K-th
///   abort K          reset the K-th connection
///   pause K, go K    stop or continue reading from the K-th connection
///   hold             pause this connection, and consume nothing more until then
///   behind K         say whether the K-th peer has not taken all
/// ```
pub struct Script {
    log: Log,
    /// Those that were opened, or are to be.
    opened: Vec<ConnId>,
}

/// The number of a connection, and whether it stays when its peer ends its side.
pub struct State {
    number: usize,
    stays: bool,
    /// What follows is not consumed yet.
    holds: bool,
    /// What is sent when the peer has taken all before.
    when_drained: Option<String>,
}

impl Script {
    pub fn new(log: Log) -> Self {
        Self { log, opened: Vec::new() }
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn obey(&mut self, conn: &mut State, line: &str, cx: &mut ConnContext<'_>) {
        let (order, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.split(' ').next().unwrap().parse::<u64>().unwrap();
        let text = || rest.split_once(' ').unwrap().1;
        let id = cx.id();
        match order {
            "say" => cx.send(rest.as_bytes()),
            "join" => assert!(cx.join(id, Group(number())), "{line}"),
            "leave" => assert!(cx.leave(id, Group(number())), "{line}"),
            "publish" => cx.publish(Group(number()), text().as_bytes()),
            "to" => {
                let other = self.opened[usize::try_from(number()).unwrap()];
                assert_eq!(cx.send_to(other, text().as_bytes()), cx.is_open(other));
            }
            "end" if rest.is_empty() => cx.end(),
            "end" => {
                cx.disconnect(self.opened[usize::try_from(number()).unwrap()]);
            }
            "refuse" => cx.refuse(rest),
            "stay" => conn.stays = true,
            "after" => cx.set_timer(Duration::from_millis(number())),
            "never" => cx.cancel_timer(),
            "then" => conn.when_drained = Some(rest.into()),
            "record" => {
                cx.record("script", rest.as_bytes());
                cx.send(rest.as_bytes());
                cx.publish(Group(1), rest.as_bytes());
                cx.publish(Group(1), rest.as_bytes());
            }
            "connect" => {
                let address = format!("203.0.113.1:{}", text()).parse().unwrap();
                match cx.connect(address, Duration::from_millis(number())) {
                    Ok(id) => self.opened.push(id),
                    Err(error) => self.note(format!("no connection: {error}")),
                }
            }
            "shut" => {
                let other =
                    if rest.is_empty() { id } else { self.opened[usize::try_from(number()).unwrap()] };
                assert!(cx.end_sending(other));
            }
            "abort" => assert!(cx.abort(self.opened[usize::try_from(number()).unwrap()])),
            "hold" => conn.holds = cx.pause(id),
            "pause" => assert!(cx.pause(self.opened[usize::try_from(number()).unwrap()])),
            "go" => assert!(cx.resume(self.opened[usize::try_from(number()).unwrap()])),
            "behind" => {
                let is_behind = cx.is_behind(self.opened[usize::try_from(number()).unwrap()]);
                cx.send(format!("behind: {is_behind}").as_bytes());
            }
            _ => panic!("no order: {line}"),
        }
    }
}

impl Handler for Script {
    type Conn = State;
    type Message = String;

    const POSTS_MAX: usize = 3;
    const USES_JOURNAL: bool = true;

    fn opened(&mut self, cx: &mut ConnContext<'_>) -> State {
        let known = self.opened.iter().position(|id| *id == cx.id());
        let number = known.unwrap_or_else(|| {
            self.opened.push(cx.id());
            self.opened.len() - 1
        });
        self.note(format!("{number} opened by {}", cx.peer().ip()));
        State { number, stays: false, holds: false, when_drained: None }
    }

    fn received(&mut self, conn: &mut State, unread: &[u8], cx: &mut ConnContext<'_>) -> usize {
        let mut consumed = 0;
        conn.holds = false;
        for line in unread.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            consumed += line.len();
            self.obey(conn, std::str::from_utf8(line).unwrap().trim_end_matches('\n'), cx);
            if conn.holds {
                break;
            }
        }
        consumed
    }

    fn ended(&mut self, conn: &mut State, cx: &mut ConnContext<'_>) {
        self.note(format!("{} ended", conn.number));
        if !conn.stays {
            cx.end();
        }
    }

    fn drained(&mut self, conn: &mut State, cx: &mut ConnContext<'_>) {
        self.note(format!("{} drained", conn.number));
        cx.send(conn.when_drained.take().unwrap_or_default().as_bytes());
    }

    fn timer(&mut self, conn: &mut State, cx: &mut ConnContext<'_>) {
        self.note(format!("{} timer", conn.number));
        cx.send(b"(timer)");
    }

    fn closed(&mut self, id: ConnId, conn: State, reason: CloseReason, cx: &mut Context<'_>) {
        assert!(!cx.is_open(id) && !cx.send_to(id, b"x") && !cx.join(id, Group(0)) && !cx.disconnect(id));
        self.note(format!("{} closed: {reason}", conn.number));
        cx.publish(Group(0), format!("({} left)", conn.number).as_bytes());
    }

    fn connect_failed(&mut self, id: ConnId, error: &std::io::Error, cx: &mut Context<'_>) {
        assert!(!cx.is_open(id) && !cx.send_to(id, b"x"));
        let number = self.opened.iter().position(|opened| *opened == id).unwrap();
        self.note(format!("{number} not connected: {error}"));
    }

    fn message(&mut self, message: String, cx: &mut Context<'_>) {
        self.note(format!("message: {message}"));
        cx.publish(Group(0), message.as_bytes());
    }

    fn refused(reason: &str, reply: &mut Vec<u8>) {
        reply.extend_from_slice(format!("refused: {reason}").as_bytes());
    }
}

/// A server of scripts on the simulated network.
pub struct Stage {
    pub server: EventLoop<SimNet>,
    pub handle: Handle<String>,
    pub address: SocketAddr,
    pub log: Log,
}

impl Stage {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Limits::default())
    }

    pub fn with(seed: u64, limits: Limits) -> Self {
        let mut server = EventLoop::new(SimNet::new(seed), limits);
        let log = Log::default();
        let handle = server.add_handler(Script::new(log.clone())).unwrap();
        let address = server.listen_for(&handle, "192.0.2.1:7000".parse().unwrap()).unwrap();
        Self { server, handle, address, log }
    }

    /// Peers that connect one after the other.
    pub fn peers<const COUNT: usize>(&mut self) -> [SimPeer; COUNT] {
        [(); COUNT].map(|()| {
            let peer = self.server.net().connect(self.address);
            self.run();
            peer
        })
    }

    pub fn run(&mut self) {
        self.server.run_until_quiet().unwrap();
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.server.run_for(Duration::from_millis(milliseconds)).unwrap();
    }

    /// A peer gives orders, one a line, which are carried out.
    pub fn order(&mut self, peer: SimPeer, orders: &[&str]) {
        self.send(peer, orders);
        self.run();
    }

    /// A peer gives orders, which arrive in the next turn.
    pub fn send(&mut self, peer: SimPeer, orders: &[&str]) {
        self.server.net().send(peer, (orders.join("\n") + "\n").as_bytes());
    }

    pub fn received(&mut self, peer: SimPeer) -> String {
        String::from_utf8(self.server.net().take_received(peer)).unwrap()
    }

    /// What the handler was told since the last call, but for slow peers.
    pub fn told(&mut self) -> Vec<String> {
        let mut told = self.told_all();
        told.retain(|line| !line.ends_with(" drained"));
        told
    }

    /// The same, with all that is told of slow peers.
    pub fn told_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}
