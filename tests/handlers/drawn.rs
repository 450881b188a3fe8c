//! Peers that do anything, on a network that cuts everything: what they receive is what a model of the handler says.

use std::collections::{BTreeSet, VecDeque};

use crate::script::Stage;

const PEERS: usize = 6;
const STEPS: usize = 60;

/// A peer of the model. Connections are numbered as they are opened.
#[derive(Default)]
struct Model {
    groups: BTreeSet<u64>,
    expected: VecDeque<String>,
    is_open: bool,
}

#[test]
fn each_peer_receives_what_a_model_says_whatever_the_network_cuts() {
    for seed in 0..200_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stage = Stage::new(seed);
        let peers: [_; PEERS] = stage.peers();
        let mut models: Vec<Model> =
            (0..PEERS).map(|_| Model { is_open: true, ..Model::default() }).collect();
        for step in 0..STEPS {
            let speaker = random.usize(..PEERS);
            if !models[speaker].is_open {
                continue;
            }
            let (group, other) = (1 + random.u64(..3), random.usize(..PEERS));
            let text = format!("{step}.{}", "-".repeat(random.usize(..2000)));
            match random.u32(..20) {
                0..6 => {
                    stage.order(peers[speaker], &[&format!("publish {group} {text}")]);
                    for model in
                        models.iter_mut().filter(|model| model.is_open && model.groups.contains(&group))
                    {
                        model.expected.push_back(text.clone());
                    }
                }
                6..10 => {
                    let joins = models[speaker].groups.insert(group);
                    if !joins {
                        models[speaker].groups.remove(&group);
                    }
                    stage.order(
                        peers[speaker],
                        &[&format!("{} {group}", if joins { "join" } else { "leave" })],
                    );
                }
                10..13 => {
                    stage.order(peers[speaker], &[&format!("to {other} {text}")]);
                    if models[other].is_open {
                        models[other].expected.push_back(text);
                    }
                }
                13..16 => {
                    stage.order(peers[speaker], &[&format!("say {text}")]);
                    models[speaker].expected.push_back(text);
                }
                16..19 => stage.server.net().set_pace(peers[other], Some(random.usize(1..5000))),
                _ => {
                    // One that is sent something more, or nothing, and then ends.
                    stage.order(peers[speaker], &[&format!("say {text}"), "end"]);
                    models[speaker].expected.push_back(text);
                    models[speaker].is_open = false;
                    stage.server.net().end(peers[speaker]);
                    stage.run();
                    assert!(stage.server.net().is_closed(peers[speaker]), "seed {seed}");
                }
            }
        }
        for (peer, model) in peers.into_iter().zip(models) {
            stage.server.net().set_pace(peer, None);
            stage.run();
            let expected: String = model.expected.into_iter().collect();
            assert_eq!(stage.received(peer), expected, "seed {seed}");
        }
    }
}
