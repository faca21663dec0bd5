//! How updates a second change with the number of things, their size, and what else lies in the database.

use std::time::Duration;

use serde_json::json;

use crate::{
    Plan,
    figures::{Line, middle, ratios, rounded},
    update::{Closed, both},
};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    Things,
    Members,
    Stored,
}

impl Along {
    pub const ALL: [Self; 3] = [Self::Things, Self::Members, Self::Stored];

    pub fn name(self) -> &'static str {
        match self {
            Self::Things => "things that report",
            Self::Members => "members of a twin",
            Self::Stored => "twins stored",
        }
    }

    /// The sizes that are looked at.
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Self::Things => &[100, 1_000, 10_000, 100_000],
            Self::Members => &[5, 20, 50, 100, 200, 500],
            Self::Stored => &[1_000, 10_000, 100_000, 1_000_000],
        }
    }

    fn closed(self, size: usize) -> Closed {
        let common = Closed::of(1000);
        match self {
            Self::Things => Closed::of(size),
            Self::Members => Closed { members: size, ..common },
            Self::Stored => Closed { stored: size, ..common },
        }
    }
}

/// Updates a second at one size.
pub async fn point(plan: &Plan, along: Along, size: usize) -> Line {
    let plan = Plan { span: plan.span.min(Duration::from_secs(3)), ..plan.clone() };
    let both = both(&plan, &along.closed(size)).await;
    let [ratio, ..] = ratios(&both.ours, &both.echo);
    let (rate, echo) = (middle(&both.ours), middle(&both.echo));
    Line {
        case: format!("{size} {}", along.name()),
        database: plan.name(),
        ours: format!("{rate:.0}/s"),
        other: format!("echo {echo:.0}/s"),
        verdict: format!("{ratio:.2} of it, {:.0} µs CPU", both.cpu),
        is_met: None,
        json: json!({
            "along": along.name(), "size": size, "rate": rate.round(), "echo_rate": echo.round(),
            "ratio": rounded(ratio), "cpu_us": rounded(both.cpu),
        }),
    }
}
