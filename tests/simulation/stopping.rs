//! Serving until a stop, and what becomes of the connections then.

use loopline::limits::Limits;

use crate::sim::scene::{Scene, framed};

#[test]
fn run_serves_until_the_stop_and_returns_when_all_is_finished() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.send(peer, &framed("text"));
    scene.wire(peer).end();
    scene.net().request_stop();
    scene.run.server.run().unwrap();
    assert!(scene.run.server.is_stopped());
    assert_eq!((scene.acknowledged(peer), scene.run.server.connections()), (1, 0));
}

#[test]
fn its_debug_text_shows_how_many_connections_it_serves_and_that_it_has_stopped() {
    let mut scene = Scene::new(&Limits::default());
    scene.connect();
    let text = format!("{:?}", scene.run.server);
    assert!(text.starts_with("EventLoop { connections: 1, phase: Serving"), "{text}");
    scene.net().request_stop();
    scene.turns(5);
    let text = format!("{:?}", scene.run.server);
    assert!(text.starts_with("EventLoop { connections: 0, phase: Stopped"), "{text}");
}
