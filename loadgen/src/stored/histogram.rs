//! Histograms out of `run.json`, where they stand compressed as HdrHistogram's V2 format in base64.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

/// The histogram of one latency; an empty one where there is none.
pub(crate) fn of(latency: &Value) -> anyhow::Result<Histogram<u64>> {
    let Some(text) = latency["hdr_v2_ns_b64"].as_str() else {
        return Histogram::new(3).context("an empty histogram");
    };
    let bytes = STANDARD.decode(text).context("its base64")?;
    let read: Result<Histogram<u64>, _> = Deserializer::new().deserialize(&mut bytes.as_slice());
    let mut histogram = read.map_err(|error| {
        anyhow::anyhow!("its bytes are no histogram ({error:?}): was the report cut short?")
    })?;
    // What is read does not grow by itself, and so could not take in one of another range.
    histogram.auto(true);
    Ok(histogram)
}
