//! Descriptors as a kernel gives them out: the lowest number that is free, and no more than the limit.

/// The server's end of a connection. It is not `Clone`: what is closed cannot be used again.
#[derive(Debug)]
pub struct Descriptor(usize);

pub struct Descriptors {
    /// The wire behind each number.
    wires: Vec<Option<usize>>,
    max: usize,
}

impl Descriptors {
    pub fn new(max: usize) -> Self {
        Self { wires: Vec::new(), max }
    }

    pub fn are_exhausted(&self) -> bool {
        self.len() >= self.max
    }

    /// The number of open ones.
    pub fn len(&self) -> usize {
        self.wires.iter().flatten().count()
    }

    pub fn open(&mut self, wire: usize) -> Descriptor {
        let free = self.wires.iter().position(Option::is_none).unwrap_or(self.wires.len());
        if free == self.wires.len() {
            self.wires.push(None);
        }
        self.wires[free] = Some(wire);
        Descriptor(free)
    }

    pub fn wire(&self, descriptor: &Descriptor) -> usize {
        self.wires[descriptor.0].expect("an open descriptor")
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is gone")]
    pub fn close(&mut self, descriptor: Descriptor) -> usize {
        self.wires[descriptor.0].take().expect("a descriptor is closed once")
    }
}
