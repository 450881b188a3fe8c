//! What is left of a run: all of it, or fewer peers and faults, so that a failure is easier to follow.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::path::PathBuf;

use super::random::Random;

/// What draws a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Seed(u64),
    /// The bytes of a file, as a fuzzer finds them.
    Script {
        file: PathBuf,
        bytes: Vec<u8>,
    },
}

impl Source {
    pub fn random(&self) -> Random {
        match self {
            Self::Seed(seed) => Random::new(*seed),
            Self::Script { bytes, .. } => Random::of_script(bytes),
        }
    }
}

/// The variable of the environment, and its value.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "LOOPLINE_SEED={seed}"),
            Self::Script { file, .. } => write!(f, "LOOPLINE_SCRIPT={}", file.display()),
        }
    }
}

/// A run: what draws it, without the peers and faults that it does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub source: Source,
    /// The peers that come, by number.
    pub peers: BTreeSet<usize>,
    /// The faults that occur, by name.
    pub faults: BTreeSet<String>,
}

impl Plan {
    /// Whether this peer comes.
    pub fn has_peer(&self, number: usize) -> bool {
        self.peers.contains(&number)
    }

    /// What the environment leaves of `self`: `LOOPLINE_PEERS` and `LOOPLINE_FAULTS`, names that a comma separates.
    pub fn limited_by_environment(mut self) -> Self {
        let names = |variable: &str| -> Option<BTreeSet<String>> {
            let text = env::var(variable).ok()?;
            Some(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
        };
        if let Some(peers) = names("LOOPLINE_PEERS") {
            self.peers.retain(|number| peers.contains(&number.to_string()));
        }
        if let Some(faults) = names("LOOPLINE_FAULTS") {
            self.faults.retain(|name| faults.contains(name));
        }
        self
    }

    /// The smallest plan that `fails` as well, found by leaving out as many peers at once as possible, then faults.
    pub fn shrink(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut plan = self.clone();
        let mut portion = plan.peers.len();
        while portion > 0 {
            let numbers: Vec<usize> = plan.peers.iter().copied().collect();
            for left_out in numbers.chunks(portion) {
                let mut fewer = plan.clone();
                fewer.peers.retain(|number| !left_out.contains(number));
                if fails(&fewer) {
                    plan = fewer;
                }
            }
            portion /= 2;
        }
        for name in plan.faults.clone() {
            let mut fewer = plan.clone();
            fewer.faults.remove(&name);
            if fails(&fewer) {
                plan = fewer;
            }
        }
        plan
    }
}

/// The command that replays it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<String> = self.peers.iter().map(ToString::to_string).collect();
        let faults: Vec<&str> = self.faults.iter().map(String::as_str).collect();
        write!(f, "{} LOOPLINE_PEERS={} ", self.source, peers.join(","))?;
        write!(f, "LOOPLINE_FAULTS={} cargo test --test simulation whole", faults.join(","))
    }
}
