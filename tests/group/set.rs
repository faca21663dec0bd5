//! SETs of groups.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    ask, site,
    support::{
        client::Message,
        database::{Database, Direct},
        on_both_databases,
        site::{PATIENCE, Site},
        tell::tell,
        wait_for,
    },
};

on_both_databases!(
    sets_of_groups_and_of_things_are_done_in_the_order_in_which_they_came,
    a_set_is_done_for_every_member_however_often_the_manager_is_killed_over_it,
    a_sigterm_in_the_middle_of_a_set_and_of_queries_is_obeyed_and_nothing_is_left_out,
    a_set_of_ten_thousand_does_not_hold_up_others,
    an_absent_member_gets_it_when_it_comes_back,
);

fn sets_of_groups_and_of_things_are_done_in_the_order_in_which_they_came(database: &Database) {
    const THINGS: [&str; 4] = ["a", "b", "c", "d"];
    const MESSAGES: u64 = 400;
    let mut site = site(database, "all", &THINGS);
    Direct::to(&site.url).join("some", &["b", "c"]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut wanted = BTreeMap::<&str, Vec<u64>>::new();
    for number in 1..=MESSAGES {
        let thing = THINGS[random.usize(..THINGS.len())];
        let (topic, from, of) = match random.u8(..4) {
            0 => ("GRP/all/TWIN/SET".to_owned(), None, THINGS.to_vec()),
            1 => ("GRP/some/TWIN/SET".to_owned(), None, vec!["b", "c"]),
            2 => ("GRP/all/TWIN/SET".to_owned(), Some([thing, "stranger"]), vec![thing]),
            _ => (format!("TNG/{thing}/TWIN/SET"), None, vec![thing]),
        };
        let mut payload = json!({"set": {"n": number}});
        if let Some(from) = from {
            payload["from"] = json!(from);
        }
        site.client.send(&topic, payload.to_string());
        of.into_iter().for_each(|thing| wanted.entry(thing).or_default().push(number));
    }
    for (thing, wanted) in wanted {
        let told = wanted.iter().map(|_| {
            let twin = site.client.expect(&format!("TNG/{thing}/TWIN/UPD"), PATIENCE).json();
            twin["desired"]["n"].as_u64().unwrap()
        });
        assert_eq!(told.collect::<Vec<_>>(), wanted, "{thing}");
    }
}

/// The ids t0000, t0001 and so on.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number:04}")).collect()
}

fn a_set_is_done_for_every_member_however_often_the_manager_is_killed_over_it(database: &Database) {
    const MEMBERS: usize = 3000;
    let mut site = site(database, "all", &numbered(MEMBERS));
    let mut in_the_middle = 0;
    for round in 1..=5 {
        // What was said of the last one is of no interest.
        site.client.quiet(Duration::from_millis(100));
        let request = json!({"set": {"n": round}, "query": round});
        site.client.publish_json("GRP/all/TWIN/SET", &request);
        // Killed at another point each time: before the first member has it, and in their middle.
        for _ in 0..(round - 1) * 50 {
            let is_of_it = |message: &Message| {
                message.topic.ends_with("/TWIN/UPD") && message.json()["desired"]["n"] == round
            };
            site.client.take(PATIENCE, is_of_it).unwrap();
        }
        site.program.kill();
        let have = have(&site, round);
        in_the_middle += usize::from(have > 0 && have < MEMBERS);
        site.program.start_again();
        site.ready();
        if round == 4 {
            site.program.kill();
            site.program.start_again();
            site.ready();
        }
        let is_outcome = |message: &Message| {
            message.topic == "GRP/all/TWIN/RES" && message.json()["query"] == round
        };
        let outcome = site.client.take(PATIENCE * 2, is_outcome);
        let outcome = outcome
            .unwrap_or_else(|| panic!("no outcome of {round}{}", site.program.last_words()))
            .json();
        let changed = outcome["set"]["changed"].as_array().unwrap().len();
        assert_eq!((&outcome["set"]["members"], changed), (&json!(MEMBERS), MEMBERS));
        assert_eq!(self::have(&site, round), MEMBERS, "after {round}");
        let twice = json!({"column": "version", "op": "!=", "value": round});
        let answer = ask_again(
            &mut site,
            &json!({"select": ["clientId"], "where": twice, "query": "twice"}),
        );
        assert_eq!(answer["res"], json!([]), "each takes it once: after {round}");
    }
    assert!(in_the_middle >= 3, "{in_the_middle} of the kills were in the middle of a SET");
}

/// How many twins this number is desired of, by their rows.
fn have(site: &Site, round: usize) -> usize {
    let rows = Direct::to(&site.url).rows("twin", "clientId, desired");
    let wanted = format!("\"n\":{round}}}");
    rows.lines().filter(|row| row.ends_with(&wanted)).count()
}

fn a_sigterm_in_the_middle_of_a_set_and_of_queries_is_obeyed_and_nothing_is_left_out(
    database: &Database,
) {
    const MEMBERS: usize = 10_000;
    let mut site = site(database, "all", &numbered(MEMBERS));
    site.client.publish_json("GRP/all/TWIN/SET", &json!({"set": {"n": 1}, "query": 1}));
    site.client.take(PATIENCE, |message| message.topic.ends_with("/TWIN/UPD")).unwrap();
    for _ in 0..200 {
        site.client.send("GRP/all/TWIN/GET", "{}");
    }
    site.client.flush();
    site.end();
    site.program.start_again();
    site.ready();
    wait_for("the rest of the SET", PATIENCE * 3, || (have(&site, 1) == MEMBERS).then_some(()));
}

/// The answer to this query, and not to a SET that was answered again.
fn ask_again(site: &mut Site, request: &Value) -> Value {
    site.client.publish_json("GRP/all/TWIN/GET", request);
    let wanted = request["query"].clone();
    let is_it = |message: &Message| {
        message.topic == "GRP/all/TWIN/RES" && message.json()["query"] == wanted
    };
    site.client.take(PATIENCE, is_it).expect("an answer").json()
}

fn a_set_of_ten_thousand_does_not_hold_up_others(database: &Database) {
    const MEMBERS: usize = 10_000;
    let mut site = site(database, "all", &numbered(MEMBERS));
    Direct::to(&site.url).join("few", &["x", "y"]);
    site.report("other", &json!({"trn": 1}));
    site.twin("other");
    let begin = std::time::Instant::now();
    site.client.publish_json("GRP/all/TWIN/SET", &json!({"set": {"n": 1}, "query": 1}));
    site.client.take(PATIENCE, |message| message.topic.starts_with("TNG/t")).unwrap();
    site.client.publish_json("GRP/few/TWIN/SET", &json!({"set": {"n": 1}, "query": 2}));
    site.client.publish_json("TNG/t9999/TWIN/SET", &json!({"set": {"n": 2}}));
    site.report("other", &json!({"trn": 2}));
    let all = site.client.drain_until(PATIENCE * 3, |message| message.topic == "GRP/all/TWIN/RES");
    tell(&format!("a SET of {MEMBERS} members took {:?}", begin.elapsed()));
    let place = |topic: &str| {
        let place = all.iter().position(|message| message.topic == topic);
        place.unwrap_or_else(|| panic!("nothing on {topic} before the large SET was done"))
    };
    for topic in ["GRP/few/TWIN/RES", "TNG/other/TWIN/UPD", "TNG/t9999/TWIN/UPD"] {
        assert!(place(topic) < MEMBERS / 2, "{topic} comes at {} of {MEMBERS}", place(topic));
    }
    let last = all.iter().filter(|message| message.topic == "TNG/t9999/TWIN/UPD");
    let last: Vec<_> = last.map(|message| message.json()["desired"]["n"].clone()).collect();
    assert_eq!(last, [1, 2], "the group's came first, and takes its place");
    let outcome = all.last().unwrap().json();
    assert_eq!(outcome["set"]["changed"].as_array().unwrap().len(), MEMBERS);
}

fn an_absent_member_gets_it_when_it_comes_back(database: &Database) {
    let mut site = site(database, "hall", &["lamp", "heater"]);
    for id in ["lamp", "heater"] {
        site.report(id, &json!({"trn": 1, "on": false}));
        site.twin(id);
    }
    site.say("lamp", "LC/OFF", &json!({}));
    let outcome = ask(&mut site, "hall", "TWIN/SET", &json!({"set": {"on": true}, "query": 1}));
    assert_eq!(outcome["set"]["changed"], json!(["heater", "lamp"]));
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert_eq!(site.client.expect("TNG/heater/STATE/SET", PATIENCE).json(), delta);
    let said = site.said("lamp");
    assert!(said.iter().all(|(topic, _)| topic != "TNG/lamp/STATE/SET"), "{said:?}");
    site.say("lamp", "LC/ON", &json!({}));
    let sets = [(); 2].map(|()| site.client.expect("TNG/lamp/STATE/SET", PATIENCE).json());
    assert_eq!(sets, [json!({"state": {"trn": 1, "on": false}}), delta]);
}
