//! Queries of groups.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    ask, site,
    support::{
        broker::Broker,
        client::Client,
        database::{Database, Direct},
        on_both_databases,
        site::{PATIENCE, Site},
        tell::tell,
        wait_for,
    },
};

on_both_databases!(
    a_change_in_the_table_is_seen_within_a_second,
    a_query_sees_every_change_that_was_told,
    presence_is_told_as_each_twin_tells_it,
    who_has_no_twin_or_one_that_cannot_be_read_is_left_out,
    an_answer_larger_than_the_broker_takes_is_a_413,
    everybody_is_whoever_has_a_twin_at_that_moment,
    fifty_thousand_members_are_one_group,
    members_are_found_wherever_they_lie_among_others,
    large_twins_are_found_among_small_ones,
    a_table_that_is_none_is_an_error_and_costs_nobody_else_anything,
);

/// The ids of the group's members that have a twin.
fn members(site: &mut Site, group: &str) -> Vec<String> {
    let request = json!({"select": ["clientId"], "orient": "values"});
    let answer = ask(site, group, "TWIN/GET", &request);
    let rows = answer["res"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

fn a_change_in_the_table_is_seen_within_a_second(database: &Database) {
    let mut site = site(database, "hall", &["a"]);
    for id in ["a", "b", "c"] {
        site.report(id, &json!({"trn": 1}));
        site.twin(id);
    }
    for (change, wanted) in [
        (
            "INSERT INTO mqtt_acl (id, allow, clientid, access, topic) VALUES (900, 1, 'b', 1, 'GRP/hall/TPC/#')",
            "ab",
        ),
        ("UPDATE mqtt_acl SET clientid = 'c' WHERE id = 900", "ac"),
        ("UPDATE mqtt_acl SET allow = 0 WHERE id = 900", "a"),
        ("UPDATE mqtt_acl SET allow = 1 WHERE id = 900", "ac"),
        ("UPDATE mqtt_acl SET topic = 'GRP/Hall/TPC/#' WHERE id = 900", "a"),
        ("UPDATE mqtt_acl SET topic = 'GRP/hall/TPC/#', access = 2 WHERE id = 900", "a"),
        ("UPDATE mqtt_acl SET access = 3 WHERE id = 900", "ac"),
        ("DELETE FROM mqtt_acl WHERE clientid = 'a'", "c"),
    ] {
        // Asked right before the change, the group is known for as long as it may be.
        members(&mut site, "hall");
        Direct::to(&site.url).execute(change, change);
        let changed = Instant::now();
        let wanted: Vec<String> = wanted.chars().map(String::from).collect();
        loop {
            let asked = changed.elapsed();
            let found = members(&mut site, "hall");
            if found == wanted {
                break;
            }
            assert!(
                asked < Duration::from_secs(1),
                "{change}: {found:?} when asked after {asked:?}"
            );
        }
    }
}

fn a_query_sees_every_change_that_was_told(database: &Database) {
    let mut site = site(database, "hall", &["a", "b", "c"]);
    let request = json!({"select": ["reported.n", "desired.n"], "orient": "values"});
    for round in 0..60 {
        for id in ["a", "b", "c"] {
            site.say(id, "STATE/UPD", &json!({"delta": {"n": round}}));
            site.set(id, &json!({"n": -1 - round}));
        }
        for id in ["a", "b", "c"] {
            for _ in 0..2 {
                site.client.expect(&format!("TNG/{id}/TWIN/UPD"), PATIENCE);
            }
        }
        let answer = ask(&mut site, "hall", "TWIN/GET", &request);
        assert_eq!(answer["res"], json!(vec![json!([round, -1 - round]); 3]));
    }
}

fn presence_is_told_as_each_twin_tells_it(database: &Database) {
    let mut site = site(database, "hall", &["gone", "here", "unknown"]);
    site.set("unknown", &json!({"on": true}));
    for id in ["gone", "here"] {
        site.report(id, &json!({"trn": 1}));
    }
    site.say("gone", "LC/OFF", &json!({}));
    for (id, online) in [("gone", json!(false)), ("here", json!(true)), ("unknown", Value::Null)] {
        assert_eq!(site.twin(id)["online"], online);
    }
    let request = json!({"select": ["clientId", "online"], "orient": "values"});
    let answer = ask(&mut site, "hall", "TWIN/GET", &request);
    assert_eq!(answer["res"], json!([["gone", false], ["here", true], ["unknown", null]]));
    let request = json!({"select": ["clientId"], "where": {"column": "online", "op": "IS NULL"}});
    assert_eq!(
        ask(&mut site, "hall", "TWIN/GET", &request)["res"],
        json!([{"clientId": "unknown"}])
    );
}

fn who_has_no_twin_or_one_that_cannot_be_read_is_left_out(database: &Database) {
    let mut site = site(database, "hall", &["a", "broken", "nobody", "z"]);
    for id in ["a", "broken", "z"] {
        site.report(id, &json!({"trn": 1, "n": 1}));
        site.twin(id);
    }
    let ruin = "UPDATE twin SET reported = '{\"trn\":1,' WHERE clientId = 'broken'";
    Direct::to(&site.url).execute(ruin, ruin);
    let request = json!({"select": ["clientId", "reported.n"], "orient": "values"});
    let answer = ask(&mut site, "hall", "TWIN/GET", &request);
    assert_eq!(answer["res"], json!([["a", 1], ["z", 1]]));
    wait_for("a line about it", PATIENCE, || {
        let said = site.program.output();
        said.contains("twin of broken: a document is not JSON").then_some(())
    });
    // What is broken is not read unless it is asked for.
    assert_eq!(members(&mut site, "hall"), ["a", "broken", "z"]);
}

fn an_answer_larger_than_the_broker_takes_is_a_413(database: &Database) {
    let broker = Broker::start_with("max_packet_size 20000\n");
    let mut site = Site::start_at(broker, database, &[]);
    Direct::to(&site.url).join("hall", &["a", "b", "c"]);
    for id in ["a", "b", "c"] {
        site.report(id, &json!({"trn": 1, "text": "x".repeat(8000)}));
        site.client.expect(&format!("TNG/{id}/TWIN/UPD"), PATIENCE);
    }
    let answer = ask(&mut site, "hall", "TWIN/GET", &json!({"select": ["reported"], "query": 1}));
    assert_eq!((&answer["query"], &answer["error"]["code"]), (&json!(1), &json!(413)), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("more bytes than go to the broker in one packet (19744)"),
        "{message}"
    );
    let two = json!({"column": "clientId", "op": "<", "value": "c"});
    let answer = ask(&mut site, "hall", "TWIN/GET", &json!({"select": ["reported"], "where": two}));
    assert_eq!(answer["res"].as_array().unwrap().len(), 2);
}

fn everybody_is_whoever_has_a_twin_at_that_moment(database: &Database) {
    let mut site = site(database, "all", &["$all", "named"]);
    let deny = "INSERT INTO mqtt_acl (id, allow, clientid, access, topic) VALUES (0, 0, 'denied', 1, 'GRP/all/TPC/#')";
    Direct::to(&site.url).execute(deny, &format!("SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; {deny}"));
    site.report("denied", &json!({"trn": 1}));
    site.twin("denied");
    let mut wanted = Vec::new();
    for number in 0..30 {
        let id = format!("t{number:02}");
        site.report(&id, &json!({"trn": 1}));
        site.client.expect(&format!("TNG/{id}/TWIN/UPD"), PATIENCE);
        wanted.push(id);
        assert_eq!(members(&mut site, "all"), wanted, "whoever was told of a twin finds it");
    }
    site.client.publish("TNG/t07/TWIN/DEL", "{}");
    site.client.expect("TNG/t07/TWIN/RES", PATIENCE);
    let outcome = ask(&mut site, "all", "TWIN/SET", &json!({"set": {"on": true}, "query": 1}));
    wanted.retain(|id| id != "t07");
    wanted.insert(0, "named".to_owned());
    assert_eq!(outcome["set"]["changed"], json!(wanted), "who is named need not have one");
}

fn fifty_thousand_members_are_one_group(database: &Database) {
    const MEMBERS: usize = 50_000;
    let ids: Vec<String> = (0..MEMBERS).map(|number| format!("t{number:05}")).collect();
    let mut site = site(database, "all", &ids);
    // Every other one has a twin.
    let mut direct = Direct::to(&site.url);
    for (chunk, ids) in ids.chunks(1000).enumerate() {
        let row = |(number, id): (usize, &String)| {
            format!("('{id}', '{{\"trn\":1,\"n\":{}}}', '{{}}')", chunk * 1000 + number)
        };
        let rows: Vec<_> = ids.iter().enumerate().step_by(2).map(row).collect();
        let sql =
            format!("INSERT INTO twin (clientId, reported, desired) VALUES {}", rows.join(", "));
        direct.execute(&sql, &sql);
    }
    let begin = Instant::now();
    let request = json!({
        "select": ["clientId"],
        "where": {"column": "reported.n", "op": ">=", "value": MEMBERS - 10},
        "orient": "values",
    });
    let answer = ask(&mut site, "all", "TWIN/GET", &request);
    let wanted: Vec<_> = ids[MEMBERS - 10..].iter().step_by(2).map(|id| json!([id])).collect();
    assert_eq!(answer["res"], json!(wanted));
    tell(&format!("a query of {MEMBERS} members took {:?}", begin.elapsed()));
    let answer =
        ask(&mut site, "all", "TWIN/GET", &json!({"select": ["clientId"], "orient": "columns"}));
    assert_eq!(answer["res"]["clientId"].as_object().unwrap().len(), MEMBERS / 2);
}

/// Alone, in rows, scattered, without a twin; behind others, and at either end.
fn members_are_found_wherever_they_lie_among_others(database: &Database) {
    const TWINS: usize = 6000;
    let ids: Vec<String> = (0..TWINS).map(|number| format!("t{number:05}")).collect();
    let groups: [(&str, Vec<usize>); 6] = [
        ("every", (0..TWINS).collect()),
        ("scattered", (7..TWINS).step_by(13).collect()),
        ("thirds", (0..TWINS).step_by(3).collect()),
        ("thinning", (0..900).chain((900..TWINS).step_by(40)).collect()),
        ("growing", (0..2000).step_by(100).chain(2000..TWINS).collect()),
        ("ends", vec![0, TWINS - 1]),
    ];
    let mut site = site(database, "none", &["nobody"]);
    let mut direct = Direct::to(&site.url);
    for (chunk, ids) in ids.chunks(1000).enumerate() {
        let row = |(number, id): (usize, &String)| {
            format!("('{id}', '{{\"trn\":1,\"n\":{}}}', '{{}}', 7)", chunk * 1000 + number)
        };
        let rows: Vec<_> = ids.iter().enumerate().map(row).collect();
        let columns = "clientId, reported, desired, version";
        let sql = format!("INSERT INTO twin ({columns}) VALUES {}", rows.join(", "));
        direct.execute(&sql, &sql);
    }
    for (name, numbers) in &groups {
        // Who has no twin lies between them.
        let absent = numbers.iter().step_by(5).map(|number| format!("t{number:05}x"));
        let members: Vec<String> =
            numbers.iter().map(|number| ids[*number].clone()).chain(absent).collect();
        direct.join(name, &members);
        let request = json!({
            "select": ["reported.n", "clientId", "version"], "orient": "values",
            "where": {"column": "reported.n", "op": "!=", "value": numbers[0]},
        });
        let answer = ask(&mut site, name, "TWIN/GET", &request);
        let wanted: Vec<_> = numbers[1..].iter().map(|n| json!([n, ids[*n], 7])).collect();
        assert_eq!(answer["res"], json!(wanted), "{name}");
    }
}

/// One here and there, and many in a row, at the beginning and at the end.
fn large_twins_are_found_among_small_ones(database: &Database) {
    const TWINS: usize = 300;
    let ids: Vec<String> = (0..TWINS).map(|number| format!("t{number:05}")).collect();
    let mut site = site(database, "all", &ids);
    let is_large =
        |number: usize| number.is_multiple_of(50) || (100..140).contains(&number) || number > 290;
    let row = |(number, id): (usize, &String)| {
        let pad = "x".repeat(if is_large(number) { 20_000 } else { 10 });
        format!("('{id}', '{{\"trn\":1,\"n\":{number},\"pad\":\"{pad}\"}}', '{{}}')")
    };
    let rows: Vec<_> = ids.iter().enumerate().map(row).collect();
    let sql = format!("INSERT INTO twin (clientId, reported, desired) VALUES {}", rows.join(", "));
    Direct::to(&site.url).execute(&sql, &sql);
    let request = json!({"select": ["reported.n"], "orient": "values"});
    let answer = ask(&mut site, "all", "TWIN/GET", &request);
    let wanted: Vec<_> = (0..TWINS).map(|number| json!([number])).collect();
    assert_eq!(answer["res"], json!(wanted));
}

fn a_table_that_is_none_is_an_error_and_costs_nobody_else_anything(database: &Database) {
    let mut site = site(database, "hall", &["a"]);
    let other = "ALTER TABLE mqtt_acl RENAME COLUMN id TO number";
    Direct::to(&site.url).execute(other, other);
    let answer = ask(&mut site, "hall", "TWIN/GET", &json!({}));
    assert_eq!(answer["error"]["code"], 503, "{answer}");
    site.report("a", &json!({"trn": 1, "n": 1}));
    assert_eq!(site.twin("a")["version"], 1, "that is no reason for the database to count as away");
    let back = "ALTER TABLE mqtt_acl RENAME COLUMN number TO id";
    Direct::to(&site.url).execute(back, back);
    let gone = "ALTER TABLE mqtt_acl RENAME TO mqtt_acl_away";
    Direct::to(&site.url).execute(gone, gone);
    wait_for("the last answer's second", PATIENCE, || {
        let answer = ask(&mut site, "hall", "TWIN/GET", &json!({}));
        answer["error"]["message"].as_str()?.contains("no table").then_some(())
    });
    let answer = ask(&mut site, "hall", "TWIN/SET", &json!({"set": {"on": true}, "query": 1}));
    assert_eq!((&answer["query"], &answer["error"]["code"]), (&json!(1), &json!(503)), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("who is in group hall cannot be read: ")
            && message.contains("mqtt_acl"),
        "{message}"
    );
    site.set("a", &json!({"on": true}));
    assert_eq!(site.twin("a")["desired"]["on"], true);
    let back = "ALTER TABLE mqtt_acl_away RENAME TO mqtt_acl";
    Direct::to(&site.url).execute(back, back);
    wait_for("the group", PATIENCE, || {
        let mut client = Client::connect(site.broker.port());
        client.subscribe(&["GRP/hall/TWIN/RES"]);
        client.publish("GRP/hall/TWIN/GET", r#"{"select":["clientId"],"orient":"values"}"#);
        let answer = client.expect("GRP/hall/TWIN/RES", PATIENCE).json();
        (answer["res"] == json!([["a"]])).then_some(())
    });
}
