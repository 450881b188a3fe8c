//! Encodes a histogram as text: the encoding of `HdrHistogram`, compressed, in base64.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

/// An encoder, which keeps its memory.
pub(crate) struct Encoder {
    serializer: V2DeflateSerializer,
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { serializer: V2DeflateSerializer::new(), bytes: Vec::new() }
    }

    /// Appends the text of `histogram`.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub(crate) fn append(&mut self, histogram: &Histogram<u64>, text: &mut String) -> io::Result<()> {
        self.bytes.clear();
        self.serializer.serialize(histogram, &mut self.bytes).map_err(io::Error::other)?;
        STANDARD.encode_string(&self.bytes, text);
        Ok(())
    }
}
