//! What a run prints: a line for each stage, and one for each failure.

use serde_json::{Value, json};

use crate::stage::{Count, Stage, StageReport};

/// The counts of a stage that are below their floors.
pub fn below_floor(stage: &Stage, report: &StageReport, floor: u64) -> Vec<Count> {
    let main = Count { name: stage.unit, count: report.done, floor };
    let all = std::iter::once(main).chain(report.also.iter().cloned());
    all.filter(|count| count.count < count.floor).collect()
}

/// A stage's report for people.
pub fn to_text(stage: &Stage, report: &StageReport, floor: u64) -> String {
    let mut lines = vec![format!(
        "{:<14} {:>11} {} in {:.1} s, {:.0}/s, floor {floor}, failures {}",
        stage.name,
        report.done,
        stage.unit,
        report.seconds,
        rate(report),
        report.failures.len()
    )];
    for Count { name, count, floor } in &report.also {
        lines.push(format!("{:<14} {count:>11} {name}, floor {floor}", ""));
    }
    for Count { name, count, floor } in below_floor(stage, report, floor) {
        lines.push(format!("BELOW FLOOR    {name}: {count}, at least {floor} were due"));
    }
    for failure in &report.failures {
        lines.push(format!("FAILURE        {}", failure.what));
        lines.push(format!("               fountain-sim replay {}", failure.replay));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A stage's report for programs: one line.
pub fn to_json(stage: &Stage, report: &StageReport, floor: u64) -> Value {
    let counts = |counts: &[Count]| -> Vec<Value> {
        let one = |count: &Count| json!({ "name": count.name, "count": count.count, "floor": count.floor });
        counts.iter().map(one).collect()
    };
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failure| json!({ "seed": failure.seed, "what": failure.what, "replay": failure.replay }))
        .collect();
    json!({
        "stage": stage.name,
        "unit": stage.unit,
        "done": report.done,
        "floor": floor,
        "seconds": report.seconds,
        "rate": rate(report),
        "also": counts(&report.also),
        "below_floor": counts(&below_floor(stage, report, floor)),
        "failures": failures,
    })
}

/// What a run comes to, in few lines: they are printed last, so that the end of a long log says what went wrong.
#[derive(Debug, Default)]
pub struct Recap {
    stages: u64,
    wrong: Vec<String>,
}

/// Most lines of a recap that name something wrong, and most characters of each.
const RECAP_LINES: usize = 10;
const RECAP_WIDTH: usize = 160;

impl Recap {
    /// Takes in what a stage found.
    pub fn note(&mut self, stage: &Stage, report: &StageReport, floor: u64) {
        self.stages += 1;
        for Count { name, count, floor } in below_floor(stage, report, floor) {
            self.wrong.push(format!(
                "{} did {count} {name} in {:.0} s, {floor} were due",
                stage.name, report.seconds
            ));
        }
        for failure in &report.failures {
            let first = failure.what.lines().next().unwrap_or_default();
            self.wrong.push(format!("{}: {first}", failure.replay));
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// One line that says how it ended, and before it one for each thing that is wrong, as long as they are few.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for wrong in self.wrong.iter().take(RECAP_LINES) {
            text.extend("WRONG ".chars().chain(wrong.chars().take(RECAP_WIDTH)).chain(['\n']));
        }
        let more = self.wrong.len().saturating_sub(RECAP_LINES);
        let more = if more > 0 { format!(" ({more} not shown)") } else { String::new() };
        text + &format!("{} stages, {} things wrong{more}\n", self.stages, self.wrong.len())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(report: &StageReport) -> f64 {
    report.done as f64 / report.seconds.max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Failure;

    const STAGE: Stage = Stage {
        name: "stage",
        unit: "cases",
        share: 1.0,
        floor: 10,
        run: |_| StageReport::default(),
        replay: |_| Ok(()),
    };

    #[test]
    fn counts_below_their_floors_and_failures_are_told() {
        let report = StageReport {
            done: 9,
            also: vec![
                Count { name: "rare ones", count: 5, floor: 5 },
                Count { name: "rarer ones", count: 0, floor: 1 },
            ],
            failures: vec![Failure::of_seed("stage", 1, "lost a key")],
            seconds: 3.0,
        };
        let low: Vec<_> = below_floor(&STAGE, &report, 10).iter().map(|count| count.name).collect();
        assert_eq!(low, ["cases", "rarer ones"]);
        let text = to_text(&STAGE, &report, 10);
        for part in ["3/s", "rarer ones: 0, at least 1", "lost a key", "replay stage/0000000000000001"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(to_json(&STAGE, &report, 10)["failures"][0]["what"], "lost a key");
    }

    #[test]
    fn the_recap_names_what_is_wrong_in_few_lines() {
        let mut recap = Recap::default();
        recap.note(&STAGE, &StageReport { done: 10, ..StageReport::default() }, 10);
        assert!(recap.is_good());
        assert_eq!(recap.to_text(), "1 stages, 0 things wrong\n");
        let failures = (0..40).map(|seed| Failure::of_seed("stage", seed, "lost\na key")).collect();
        recap.note(&STAGE, &StageReport { done: 9, failures, ..StageReport::default() }, 10);
        assert!(!recap.is_good());
        let text = recap.to_text();
        assert!(text.lines().count() <= 12, "{text}");
        assert!(text.starts_with(
            "WRONG stage did 9 cases in 0 s, 10 were due\nWRONG stage/0000000000000000: lost\n"
        ));
        assert!(text.ends_with("2 stages, 41 things wrong (31 not shown)\n"));
    }
}
