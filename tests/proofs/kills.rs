//! SIGKILL at random moments under load. The moment is drawn as a number of acknowledgements, so that it does not
//! depend on the speed of the machine.

use std::fs;

use fastrand::Rng;

use crate::common::{MODELS, Signal};
use crate::crowd::{Crowd, Style, Tally, Texts};
use crate::records::{Records, whole_lines};
use crate::{ACKS, number, seed, server};

/// Kills without `LOOPLINE_KILLS`, over all models and modes.
const KILLS: u64 = 20;

/// The last moment of a kill, in acknowledgements.
const ACKNOWLEDGED_MAX: u64 = 3000;

#[test]
fn after_sigkill_under_load_every_acknowledged_message_is_in_the_file_once_and_in_order() {
    let kills = number("LOOPLINE_KILLS").unwrap_or(KILLS).div_ceil((MODELS.len() * ACKS.len()) as u64);
    let seed = seed();
    for model in MODELS {
        for ack in ACKS {
            kill_again_and_again(model, ack, kills, seed);
        }
    }
}

fn kill_again_and_again(model: &str, ack: &str, kills: u64, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let mut random = Rng::with_seed(seed);
    let mut tallies: Vec<Tally> = Vec::new();
    let (mut before, mut torn_lines) = (Vec::new(), 0);
    for kill in 0..kills {
        // Its lines are of both formats.
        let format = ["text", "json"][usize::from(kill % 2 == 1)];
        let server = server(model, ack, &journal).arg("--journal-format").arg(format).start();
        let file = fs::read(&journal).unwrap();
        assert!(file == before, "{model}, {ack}: the file keeps its whole lines, and only these");

        let mut crowd = Crowd::new(
            server.address("message"),
            32,
            Texts::Mixed,
            kill * 1_000_000,
            random.u64(..),
            Style::Busy { slow_in_8: 1 },
        );
        crowd.run_until(random.u64(..ACKNOWLEDGED_MAX));
        server.signal(Signal::KILL);
        server.wait();

        tallies.extend(crowd.read_the_rest());
        let file = fs::read(&journal).unwrap();
        before = whole_lines(&file).to_vec();
        torn_lines += u32::from(before.len() < file.len());
        Records::read(&journal, Texts::Mixed).check(&tallies);
    }
    // The last start has cut the line that the last kill has torn.
    server(model, ack, &journal).start().stop_cleanly();
    assert!(fs::read(&journal).unwrap() == before, "{model}, {ack}: the file keeps its whole lines");
    let acknowledged: u64 = tallies.iter().map(|tally| tally.acknowledged).sum();
    let recorded = Records::read(&journal, Texts::Mixed).messages();
    println!(
        "{model}, {ack}, seed {seed}: {kills} kills, {acknowledged} acknowledged, {recorded} recorded, \
         {torn_lines} torn lines, none lost"
    );
}
