//! All samples of a run as text.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::histogram_log::Encoder;
use super::times::Times;

/// Encoded histograms. Those without samples are absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct EncodedTimes {
    /// Response times. Absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Service times. Absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How late messages were sent. Absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
    /// Times to connect. Absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Times of heartbeats. Absent without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
}

impl EncodedTimes {
    /// Encodes `times`.
    pub(crate) fn of(times: &Times) -> Self {
        let mut encoder = Encoder::new();
        let mut encode = |histogram: &Histogram<u64>| {
            let mut text = String::new();
            let appended = (!histogram.is_empty()).then(|| encoder.append(histogram, &mut text));
            appended?.expect("memory takes any bytes");
            Some(text)
        };
        Self {
            response: encode(&times.response),
            service: encode(&times.service),
            lag: encode(&times.lag),
            connect: encode(&times.connect),
            heartbeat: encode(&times.heartbeat),
        }
    }
}
