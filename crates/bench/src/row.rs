//! One line of the result: a workload on an engine in a round.

use serde_json::{Map, Value, json};

use crate::Outcome;

/// What a run of a workload measured. Where an engine or a system does not say, the answer is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The suite of the workload: kv, ycsb or mvcc.
    pub suite: String,
    /// The workload.
    pub workload: String,
    /// The engine.
    pub engine: String,
    /// The round, from 0.
    pub round: u32,
    /// Operations done; records, for scans.
    pub ops: u64,
    /// Operations per second.
    pub ops_per_s: f64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// Latency in microseconds that 99 % of operations do not exceed.
    pub p99: f64,
    /// Latency in microseconds that 99.9 % of operations do not exceed.
    pub p999: f64,
    /// Longest latency in microseconds: the longest stall.
    pub max: f64,
    /// Seconds of background work left when the last operation was done.
    pub settle_s: Option<f64>,
    /// Bytes written to files, per byte of key and value written by the workload.
    pub write_amp: Option<f64>,
    /// Bytes on disk per byte of live key and value.
    pub space_amp: Option<f64>,
    /// Peak memory of the process in MiB.
    pub rss_mb: Option<f64>,
}

impl Row {
    /// The row as one line of JSON.
    pub fn to_json(&self) -> String {
        json!({
            "suite": self.suite,
            "workload": self.workload,
            "engine": self.engine,
            "round": self.round,
            "ops": self.ops,
            "ops_per_s": rounded(self.ops_per_s),
            "p50": rounded(self.p50),
            "p99": rounded(self.p99),
            "p999": rounded(self.p999),
            "max": rounded(self.max),
            "settle_s": self.settle_s.map(rounded),
            "write_amp": self.write_amp.map(rounded),
            "space_amp": self.space_amp.map(rounded),
            "rss_mb": self.rss_mb.map(rounded),
        })
        .to_string()
    }

    /// A row from its line of JSON.
    ///
    /// # Errors
    /// When the line is not one of [`Row::to_json`].
    pub fn from_json(line: &str) -> Outcome<Self> {
        let object: Map<String, Value> = serde_json::from_str(line)?;
        let missing = |name| format!("a row without {name}: {line}");
        let text = |name| object.get(name).and_then(Value::as_str).ok_or_else(|| missing(name));
        let number = |name| object.get(name).and_then(Value::as_f64).ok_or_else(|| missing(name));
        let count = |name| object.get(name).and_then(Value::as_u64).ok_or_else(|| missing(name));
        let maybe = |name| object.get(name).and_then(Value::as_f64);
        Ok(Self {
            suite: text("suite")?.to_owned(),
            workload: text("workload")?.to_owned(),
            engine: text("engine")?.to_owned(),
            round: u32::try_from(count("round")?)?,
            ops: count("ops")?,
            ops_per_s: number("ops_per_s")?,
            p50: number("p50")?,
            p99: number("p99")?,
            p999: number("p999")?,
            max: number("max")?,
            settle_s: maybe("settle_s"),
            write_amp: maybe("write_amp"),
            space_amp: maybe("space_amp"),
            rss_mb: maybe("rss_mb"),
        })
    }
}

/// Three decimals say more than any of these measurements knows.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_line_of_json() {
        let row = Row {
            suite: "kv".into(),
            workload: "fillseq".into(),
            engine: "fountain".into(),
            round: 3,
            ops: 1_000_000,
            ops_per_s: 512_345.125,
            p50: 0.5,
            p99: 1.25,
            p999: 7.0,
            max: 900.5,
            settle_s: Some(0.25),
            write_amp: None,
            space_amp: Some(1.125),
            rss_mb: Some(100.0),
        };
        assert_eq!(Row::from_json(&row.to_json()).unwrap(), row);
        let error = Row::from_json(r#"{"suite":"kv"}"#).unwrap_err().to_string();
        assert!(error.contains("without workload"), "{error}");
    }
}
