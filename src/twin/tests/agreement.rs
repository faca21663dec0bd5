//! The twin and its model agree in what they hold, tell and plan, after any events.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{model::Model, *};
use crate::twin::Record;

/// A trn for a report, seen from where the twin is.
#[derive(Clone, Debug)]
enum AnyTrn {
    Absent,
    Exactly(i64),
    Desired(i64),
    Reported(i64),
}

#[derive(Clone, Debug)]
enum Act {
    Set(Value, Option<i64>),
    Report(&'static str, Value, AnyTrn),
    On,
    Off,
    Get,
    Delete,
    Retry,
    NewSession,
    Wait(u64),
    Crash,
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => Just(Value::Null),
        6 => (0..3_u8).prop_map(|value| json!(value)),
        1 => Just(json!(1.0)),
        1 => Just(json!([1, {"x": null}])),
        2 => Just(json!({})),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop::collection::btree_map("[xy]", inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn any_members() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(select(vec!["a", "b", "timestamp"]), any_value(), 0..3).prop_map(
        |members| {
            Value::Object(members.into_iter().map(|(name, v)| (name.to_owned(), v)).collect())
        },
    )
}

fn any_trn() -> impl Strategy<Value = AnyTrn> {
    prop_oneof![
        3 => Just(AnyTrn::Absent),
        1 => select(vec![0, 1, 0x7fff_ffff, 0x7fff_fffe, -1, 0x8000_0000]).prop_map(AnyTrn::Exactly),
        6 => (-2..2_i64).prop_map(AnyTrn::Desired),
        2 => (-1..2_i64).prop_map(AnyTrn::Reported),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any_members(), select(vec![None, None, None, Some(0), Some(1), Some(-1)]))
            .prop_map(|(members, version)| Act::Set(members, version)),
        10 => (select(vec!["delta", "state"]), any_members(), any_trn())
            .prop_map(|(kind, members, trn)| Act::Report(kind, members, trn)),
        3 => Just(Act::On),
        3 => Just(Act::Off),
        1 => Just(Act::Get),
        1 => Just(Act::Delete),
        1 => Just(Act::Retry),
        1 => Just(Act::NewSession),
        3 => select(vec![1, 4_999_999_999, 5_000_000_000, 5_000_000_001]).prop_map(Act::Wait),
        2 => Just(Act::Crash),
    ]
}

/// The event that an act comes to.
fn event_of(act: &Act, model: &Model) -> Option<Event> {
    Some(match act {
        Act::Set(members, version) => Event::Set {
            members: members.as_object().unwrap().clone().into(),
            version: version.map(|by| model.version.wrapping_add_signed(by)),
        },
        Act::Report(kind, members, trn) => {
            let near = |trn: Option<u64>, by| Some(i64::try_from(trn.unwrap_or(0)).unwrap() + by);
            let trn = match trn {
                AnyTrn::Absent => None,
                AnyTrn::Exactly(trn) => Some(*trn),
                AnyTrn::Desired(by) => near(model.desired.trn(), *by),
                AnyTrn::Reported(by) => near(model.reported.trn(), *by),
            };
            let mut members = members.clone();
            if let Some(trn) = trn {
                members["trn"] = json!(trn);
            }
            let payload = json!({*kind: members}).to_string();
            Event::Reported(Report::parse(payload.as_bytes(), usize::MAX).unwrap())
        }
        Act::On => Event::Connected,
        Act::Off => Event::Gone,
        Act::Get => Event::Get,
        Act::Delete => Event::Delete,
        Act::Retry => Event::RetryDue(model.plan?.1),
        Act::NewSession | Act::Crash => Event::Resumed { untold: false },
        Act::Wait(_) => return None,
    })
}

/// The twin and its model, and what a database would hold.
struct Both {
    stage: Stage,
    model: Model,
    stored: Option<Record>,
    plan: Option<(i64, u32)>,
}

impl Both {
    fn new() -> Self {
        Self { stage: stage(), model: Model::new(), stored: None, plan: None }
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::Wait(nanos) => {
                self.stage.now = self.stage.now + Duration::from_nanos(*nanos);
            }
            Act::NewSession => self.stage.session += 1,
            Act::Crash => self.crash(),
            Act::Retry => {
                self.stage.now.0 = self.stage.now.0.max(self.model.plan.map_or(0, |(at, _)| at))
            }
            Act::Set(..) | Act::Report(..) | Act::On | Act::Off | Act::Get | Act::Delete => {}
        }
        event_of(act, &self.model).map_or(Ok(()), |event| self.happen(event))
    }

    /// What was not committed is lost.
    fn crash(&mut self) {
        self.stage.twin = match &self.stored {
            Some(record) => Twin::from_record(record).unwrap(),
            None => Twin::new(),
        };
        if !self.model.exists {
            self.model = Model::new();
        }
        (self.plan, self.model.plan) = (None, None);
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        let (now, session) = (self.stage.now.0, self.stage.session);
        if let Event::Set { version: Some(version), .. } = &event
            && *version != self.model.version
        {
            let asked = *version;
            let refusal = self.stage.try_apply(event).unwrap_err();
            prop_assert_eq!(refusal, Refusal::Version { is: self.model.version, asked });
            return Ok(());
        }
        let told = self.model.apply_event(&event, now, session);
        self.stage.apply(event);
        match &self.stage.last.commit {
            Some(Commit::Put(record)) => self.stored = Some((**record).clone()),
            Some(Commit::Delete) => self.stored = None,
            None => {}
        }
        match self.stage.last.retry {
            Retry::AsPlanned => {}
            Retry::After(wait, attempt) => {
                self.plan = Some(((self.stage.now + wait).0, attempt));
            }
            Retry::Never => self.plan = None,
        }
        let text = |told: &[Value]| told.iter().map(ToString::to_string).collect::<Vec<_>>();
        prop_assert_eq!(text(&self.stage.told()), text(&told), "{:#?}", self.model);
        let document = self.model.document(session);
        prop_assert_eq!(
            self.stage.document().to_string(),
            document.to_string(),
            "{:#?}",
            self.model
        );
        prop_assert_eq!(self.plan, self.model.plan, "{:#?}", self.model);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn the_twin_is_what_a_second_reading_of_the_rules_makes_it(acts in vec(any_act(), 0..25)) {
        let mut both = Both::new();
        for act in &acts {
            both.act(act)?;
        }
    }
}
