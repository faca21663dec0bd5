//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

/// Times, of which some are told.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// The time that so large a share of all is not above, in milliseconds.
    pub fn share(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * share).round() as usize).map_or(f64::NAN, ms)
    }

    /// The 50th, 95th and 99th percentile in milliseconds.
    pub fn shares(&self) -> [f64; 3] {
        [0.5, 0.95, 0.99].map(|share| self.share(share))
    }

    pub fn json(&self) -> Value {
        let [p50, p95, p99] = self.shares().map(rounded);
        json!({"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "count": self.0.len()})
    }
}

pub fn ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Three digits behind the point are as exact as anything here.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

/// The middle one.
pub fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => f64::NAN,
        sorted if sorted.len() % 2 == 1 => sorted[sorted.len() / 2],
        sorted => f64::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]),
    }
}

/// The ratios of pairs: the middle, the least and the most.
pub fn ratios(ours: &[f64], others: &[f64]) -> [f64; 3] {
    let ratios: Vec<_> = ours.iter().zip(others).map(|(ours, other)| ours / other).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    [middle(&ratios), least, most]
}

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Line {
    pub case: String,
    pub database: &'static str,
    /// What was measured, for a person.
    pub ours: String,
    /// What the echo, or the database alone, came to.
    pub other: String,
    /// What counts, and what it should be.
    pub verdict: String,
    /// Whether it is what it should be; none where nothing is said of it.
    pub is_met: Option<bool>,
    /// The same for a program.
    pub json: Value,
}

impl Line {
    /// The columns of the table, and how wide they are.
    pub fn head() -> String {
        row(["case", "database", "manager", "beside it", "what counts", ""])
    }

    pub fn text(&self) -> String {
        let met = match self.is_met {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        row([&self.case, self.database, &self.ours, &self.other, &self.verdict, met])
    }

    pub fn json_line(&self) -> String {
        let mut line = json!({"case": self.case, "database": self.database, "met": self.is_met});
        if let (Some(line), Some(more)) = (line.as_object_mut(), self.json.as_object()) {
            line.extend(more.clone());
        }
        line.to_string()
    }
}

fn row([case, database, ours, other, verdict, met]: [&str; 6]) -> String {
    format!("{case:<34} {database:<8} {ours:<44} {other:<36} {verdict:<34} {met}")
        .trim_end()
        .to_owned()
}
