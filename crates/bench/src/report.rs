//! The answers side by side: ratios first, then every figure, as medians over the rounds.

use std::fmt::Write;

use crate::engines::Kind;
use crate::row::Row;

/// Workloads that differ only in the number of versions, less that number.
const VERSIONED: [&str; 3] = ["mvcc-get", "mvcc-asof", "mvcc-scan"];

/// The tables for people.
pub fn text(rows: &[Row], engines: &[&str], description: &str) -> String {
    let workloads = workloads(rows);
    let mut out = format!("\n{description}\n");
    if engines.contains(&Kind::OURS) && engines.len() > 1 {
        out.push_str(
            "\nOurs against each peer, operations per second: median ratio [least..greatest of the rounds]\n",
        );
        out.push_str(&aligned(&ratios(rows, engines, &workloads)));
    }
    out.push_str("\nEach engine, medians; latencies in µs, memory in MiB\n");
    out.push_str(&aligned(&figures(rows, engines, &workloads)));
    let versions = versions(rows);
    if versions.len() > 1 {
        out.push_str("\nOurs, cost of a read relative to one version per record\n");
        out.push_str(&aligned(&versions));
    }
    out
}

/// Names of the workloads in order of appearance.
fn workloads(rows: &[Row]) -> Vec<&str> {
    let mut names = Vec::new();
    for row in rows {
        if !names.contains(&row.workload.as_str()) {
            names.push(&row.workload);
        }
    }
    names
}

fn ratios(rows: &[Row], engines: &[&str], workloads: &[&str]) -> Vec<Vec<String>> {
    let peers = || engines.iter().filter(|engine| **engine != Kind::OURS);
    let mut table = vec![vec!["workload".to_owned(), "ours".to_owned()]];
    table[0].extend(peers().map(|peer| format!("/ {peer}")));
    for workload in workloads {
        let ours = figure(rows, workload, Kind::OURS, |row| Some(row.ops_per_s));
        let mut line = vec![(*workload).to_owned(), ours.map_or_else(dash, thousands)];
        line.extend(peers().map(|peer| ratio(rows, workload, peer)));
        table.push(line);
    }
    table
}

/// Ours to the peer's in each round in which both ran.
fn ratio(rows: &[Row], workload: &str, peer: &str) -> String {
    let of = |engine| rows.iter().filter(move |row| row.workload == workload && row.engine == engine);
    let mut ratios: Vec<f64> = of(Kind::OURS)
        .filter_map(|ours| {
            let theirs = of(peer).find(|theirs| theirs.round == ours.round)?;
            Some(ours.ops_per_s / theirs.ops_per_s)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), median(&ratios), ratios.last()) {
        (Some(least), Some(median), Some(greatest)) if ratios.len() > 1 => {
            format!("{median:.2} [{least:.2}..{greatest:.2}]")
        }
        (_, Some(median), _) => format!("{median:.2}"),
        _ => dash(),
    }
}

fn figures(rows: &[Row], engines: &[&str], workloads: &[&str]) -> Vec<Vec<String>> {
    let head = [
        "workload",
        "engine",
        "ops/s",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "settle s",
        "write amp",
        "space amp",
        "memory",
    ];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for workload in workloads {
        for engine in engines {
            let of = |what: fn(&Row) -> Option<f64>| figure(rows, workload, engine, what);
            let Some(ops_per_s) = of(|row| Some(row.ops_per_s)) else { continue };
            let decimals = |figure: Option<f64>| figure.map_or_else(dash, |figure| format!("{figure:.2}"));
            table.push(vec![
                (*workload).to_owned(),
                (*engine).to_owned(),
                thousands(ops_per_s),
                decimals(of(|row| Some(row.p50))),
                decimals(of(|row| Some(row.p99))),
                decimals(of(|row| Some(row.p999))),
                decimals(of(|row| Some(row.max))),
                decimals(of(|row| row.settle_s)),
                decimals(of(|row| row.write_amp)),
                decimals(of(|row| row.space_amp)),
                of(|row| row.rss_mb).map_or_else(dash, |mib| format!("{mib:.0}")),
            ]);
        }
    }
    table
}

/// How much dearer reads are with more versions.
fn versions(rows: &[Row]) -> Vec<Vec<String>> {
    let mut table = vec![["read", "1", "10", "100"].map(str::to_owned).to_vec()];
    for name in VERSIONED {
        let speed =
            |count: &str| figure(rows, &format!("{name}-{count}"), Kind::OURS, |row| Some(row.ops_per_s));
        let Some(single) = speed("1") else { continue };
        let relative = |count| speed(count).map_or_else(dash, |speed| format!("{:.2}", single / speed));
        table.push(vec![name.to_owned(), relative("1"), relative("10"), relative("100")]);
    }
    table
}

/// Median over the rounds.
fn figure(rows: &[Row], workload: &str, engine: &str, what: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
    let of = rows.iter().filter(|row| row.workload == workload && row.engine == engine);
    let mut figures: Vec<f64> = of.filter_map(what).collect();
    figures.sort_by(f64::total_cmp);
    median(&figures)
}

fn median(sorted: &[f64]) -> Option<f64> {
    let high = sorted.get(sorted.len() / 2)?;
    let low = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*low, *high))
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn dash() -> String {
    "–".to_owned()
}

/// Columns as wide as their widest cell, names to the left and figures to the right.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cell_width = |line: &Vec<String>| line.get(column).map_or(0, |cell| cell.chars().count());
        table.iter().map(cell_width).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in table {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let is_name = cell.starts_with(|first: char| first.is_ascii_lowercase());
            // Writing to a string cannot fail.
            let _ = if is_name { write!(out, "{cell:<width$}  ") } else { write!(out, "{cell:>width$}  ") };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: &str, engine: &str, round: u32, ops_per_s: f64) -> Row {
        Row {
            suite: "kv".into(),
            workload: workload.into(),
            engine: engine.into(),
            round,
            ops: 10,
            ops_per_s,
            p50: 1.0,
            p99: 2.0,
            p999: 3.0,
            max: 4.0,
            settle_s: None,
            write_amp: None,
            space_amp: Some(1.5),
            rss_mb: Some(70.2),
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let mut rows = Vec::new();
        // The machine was ten times slower in round 1, for both.
        for (round, ours, theirs) in [(0, 2000.0, 1000.0), (1, 300.0, 100.0), (2, 2500.0, 1000.0)] {
            rows.push(row("fillseq", "fountain", round, ours));
            rows.push(row("fillseq", "other", round, theirs));
        }
        assert_eq!(ratio(&rows, "fillseq", "other"), "2.50 [2.00..3.00]");
        assert_eq!(ratio(&rows, "fillseq", "third"), "–");
        assert_eq!(ratio(&rows[..2], "fillseq", "other"), "2.00");
    }

    #[test]
    fn a_workload_that_an_engine_cannot_run_is_a_dash() {
        let rows = [row("mvcc-get-1", "fountain", 0, 1000.0), row("mvcc-get-10", "fountain", 0, 500.0)];
        let text = text(&rows, &["fountain", "other"], "few records");
        assert!(text.lines().any(|line| line == "mvcc-get-10    500        –"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("mvcc-get  ") && line.contains("2.00")), "{text}");
    }

    #[test]
    fn medians_lie_in_the_middle_and_numbers_are_grouped() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        assert_eq!(thousands(1_234_567.4), "1 234 567");
        assert_eq!(thousands(999.0), "999");
    }
}
