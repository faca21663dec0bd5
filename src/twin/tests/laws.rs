//! What holds after any sequence of SETs, reports, comings and goings, retries, restarts and delays.

use proptest::{collection::vec, prelude::*};
use serde_json::Map;

use crate::protocol::{ReportKind, Trn};

use super::{
    world::{Act, World},
    *,
};

/// RFC 7396, written once more and without looking at ours.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn without_empty_objects(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    members
        .iter()
        .map(|(name, value)| (name.clone(), without_empty_objects(value)))
        .filter(|(_, value)| *value != json!({}))
        .collect()
}

fn some_of(
    members: impl Strategy<Value = (&'static str, Value)>,
    most: usize,
) -> impl Strategy<Value = Value> {
    vec(members, 0..=most).prop_map(|members| {
        Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

/// SETs whose sum is plain: `n` is a value or a whole object, `m` always an object.
///
/// A part of an object over a pending value is left out: what it does away with goes by what the
/// thing has reported, and a member that is on its way there has not been reported yet.
fn any_set() -> impl Strategy<Value = Value> {
    let small = || (0..3_u8).prop_map(|value| json!(value));
    let leaf = move || prop_oneof![4 => small(), 1 => Just(Value::Null)];
    let name = || prop::sample::select(vec!["x", "y"]);
    some_of(
        prop_oneof![
            (Just("a"), leaf()),
            (Just("b"), leaf()),
            (Just("n"), leaf()),
            (Just("n"), (small(), small()).prop_map(|(x, y)| json!({"x": x, "y": y}))),
            (Just("m"), some_of((name(), leaf()), 2)),
        ],
        3,
    )
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any_set().prop_map(Act::Set),
        6 => Just(Act::ToThing),
        6 => Just(Act::ToManager),
        1 => Just(Act::Reconnect),
        1 => Just(Act::ReconnectWithLateWill),
        1 => Just(Act::Reboot),
        1 => Just(Act::Restart),
        1 => Just(Act::LoseSession),
        1 => Just(Act::RetryDue),
        1 => (0..20_u64).prop_map(Act::Wait),
    ]
}

/// Anything that may happen to a twin, from things and clients that keep no rules.
fn any_event() -> impl Strategy<Value = Event> {
    let json = prop_oneof![
        Just(Value::Null),
        (0..3_u8).prop_map(|value| json!(value)),
        Just(json!([1, {"x": null}])),
    ]
    .prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[ab]|timestamp", inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    });
    let members = prop::collection::btree_map("[ab]|timestamp", json, 0..3)
        .prop_map(|members| members.into_iter().collect::<Map<_, _>>());
    let trn = prop_oneof![
        Just(Value::Null),
        (0..12_u32).prop_map(|trn| json!(trn)),
        Just(json!(0x7fff_ffff_u32)),
    ];
    let report = (members.clone(), trn, prop::sample::select(vec!["delta", "state"])).prop_map(
        |(mut members, trn, kind)| {
            members.insert("trn".into(), trn);
            let payload = json!({kind: members}).to_string();
            Event::Reported(Report::parse(payload.as_bytes(), usize::MAX).unwrap())
        },
    );
    prop_oneof![
        6 => report,
        6 => members.prop_map(|members| Event::Set { members: members.into(), version: None }),
        1 => Just(Event::Connected),
        1 => Just(Event::Gone),
        1 => Just(Event::Get),
        1 => Just(Event::Resumed { untold: false }),
        1 => (1..6_u32).prop_map(Event::RetryDue),
        1 => Just(Event::Delete),
    ]
}

/// Whether a meta document has the members of its state, and times where that has leaves.
fn mirrors(state: &Value, meta: &Value, top: bool) -> bool {
    let (Value::Object(state), Value::Object(meta)) = (state, meta) else {
        return !state.is_object() && meta.is_number();
    };
    let own = |name: &str| top && name == "timestamp";
    meta.keys().all(|name| own(name) || state.contains_key(name))
        && state.iter().all(|(name, value)| {
            meta.get(name).is_some_and(|meta| own(name) || mirrors(value, meta, false))
        })
}

fn has_null(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().any(|v| v.is_null() || has_null(v)))
}

fn without_trns(document: &Value) -> Value {
    let mut document = document.clone();
    for part in ["reported", "desired", "declined"] {
        document[part].as_object_mut().unwrap().remove("trn");
    }
    json!([document["reported"], document["desired"], document["declined"]])
}

fn declined_is_not_reported(document: &Value) -> bool {
    fn differs(declined: &Value, reported: Option<&Value>) -> bool {
        match (declined, reported) {
            (Value::Object(declined), reported) if !declined.is_empty() => {
                declined.iter().all(|(name, value)| {
                    differs(value, reported.and_then(|members| members.get(name)))
                })
            }
            (Value::Object(_), reported) => !reported.is_some_and(Value::is_object),
            (Value::Null, reported) => reported.is_some(),
            (value, reported) => reported != Some(value),
        }
    }
    document["declined"]
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, value)| differs(value, document["reported"].get(name)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_thing_that_does_what_it_is_sent_ends_as_the_last_sets_want_it(
        acts in vec(any_act(), 0..40),
    ) {
        let mut world = World::new(true);
        let mut wish = world.thing.clone();
        for act in &acts {
            world.act(act);
            if let Act::Set(members) = act {
                merge(&mut wish, members);
            }
        }
        world.settle_down();
        world.act(&Act::Reconnect);
        world.settle_down();
        prop_assert!(world.stage.is_settled(), "{}", world.stage.document());
        prop_assert_eq!(world.stage.declined(), json!({}));
        prop_assert_eq!(without_empty_objects(&world.thing), without_empty_objects(&wish));
        let mut reported = world.stage.reported();
        reported.as_object_mut().unwrap().remove("trn");
        prop_assert_eq!(without_empty_objects(&reported), without_empty_objects(&world.thing));
    }

    #[test]
    fn a_thing_that_stays_connected_settles_without_returning(
        acts in vec(prop_oneof![
            any_set().prop_map(Act::Set), Just(Act::ToThing), Just(Act::ToManager), Just(Act::Restart),
        ], 0..40),
        speaks_of_trn in any::<bool>(),
    ) {
        let mut world = World::new(speaks_of_trn);
        let mut wish = world.thing.clone();
        for act in &acts {
            world.act(act);
            if let Act::Set(members) = act {
                merge(&mut wish, members);
            }
        }
        world.settle_down();
        prop_assert!(world.stage.is_settled(), "{}", world.stage.document());
        prop_assert_eq!(world.stage.declined(), json!({}));
        prop_assert_eq!(without_empty_objects(&world.thing), without_empty_objects(&wish));
    }

    #[test]
    fn a_thing_that_never_speaks_of_trn_settles_too(acts in vec(any_act(), 0..40)) {
        let mut world = World::new(false);
        acts.iter().for_each(|act| world.act(act));
        world.settle_down();
        world.act(&Act::Reconnect);
        world.settle_down();
        prop_assert!(world.stage.is_settled(), "{}", world.stage.document());
        prop_assert_eq!(world.stage.declined(), json!({}));
    }

    #[test]
    fn the_documents_keep_the_rules_whatever_happens(
        events in vec((any_event(), 0..9_u64, 1..3_i64, any::<bool>()), 0..30),
    ) {
        let mut stage = stage();
        for (event, seconds, session, restart) in events {
            let (before, deleted) = (stage.document(), event == Event::Delete);
            stage.wait(seconds).session = session;
            if restart {
                stage.restart();
            }
            let revision = stage.twin.revision();
            stage.apply(event);
            let stored = u64::from(stage.last.commit.is_some());
            prop_assert_eq!(stage.twin.revision(), revision + stored);
            let after = stage.document();
            for part in ["reported", "desired", "declined"] {
                let meta = &after[format!("{part}Meta")];
                prop_assert!(mirrors(&after[part], meta, true), "{}", after);
            }
            prop_assert!(!has_null(&after["reported"]), "{}", after);
            prop_assert!(declined_is_not_reported(&after), "{}", after);
            prop_assert_eq!(after["declined"].get("trn"), None);
            if !stage.is_settled() {
                prop_assert!(after["desired"].get("trn").is_some(), "{}", after);
            }
            if !deleted {
                let changed = without_trns(&before) != without_trns(&after);
                let rise = after["version"].as_u64().unwrap() - before["version"].as_u64().unwrap();
                prop_assert_eq!(rise, u64::from(changed), "{} {}", before, after);
            }
            for told in stage.told() {
                if let Some(delta) = told.get("delta") {
                    prop_assert_eq!(delta, &after["desired"]);
                }
                if let Some(state) = told.get("state") {
                    prop_assert_eq!(state, &after["reported"]);
                }
            }
            if stage.twin.exists() {
                let again = Twin::from_record(&stage.twin.to_record()).unwrap();
                prop_assert_eq!(again.to_payload(session), stage.twin.to_payload(session));
                prop_assert_eq!(again.ledger, stage.twin.ledger.clone());
            }
        }
    }
}

/// A few small reports on the same members, so that they meet.
fn small_report() -> impl Strategy<Value = Report> {
    let leaf = prop_oneof![Just(json!(1)), Just(json!(2)), Just(json!(null)), Just(json!([1]))];
    let value = leaf.prop_recursive(2, 6, 2, |inner| {
        proptest::collection::hash_map("[ab]", inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    let members = proptest::collection::hash_map("[abc]", value, 0..4);
    (any::<bool>(), members, proptest::option::of(1_u32..3)).prop_map(|(whole, members, trn)| {
        let kind = if whole { ReportKind::State } else { ReportKind::Delta };
        Report { kind, members: members.into_iter().collect(), trn: trn.and_then(Trn::new) }
    })
}

proptest! {
    #[test]
    fn a_merged_report_leaves_what_both_would_after_one_another(before in small_report(), first in small_report(), second in small_report()) {
        let mut apart = stage();
        apart.apply(Event::Reported(before));
        let mut at_once = apart.clone();
        let mut merged = first.clone();
        if merged.merge(second.clone()).is_ok() {
            apart.apply(Event::Reported(first)).apply(Event::Reported(second));
            at_once.apply(Event::Reported(merged));
            prop_assert_eq!(at_once.reported(), apart.reported());
            prop_assert_eq!(at_once.desired(), apart.desired());
        }
    }
}
