//! Nothing that a message says reaches the database as anything but a value.

use serde_json::{Value, json};

use crate::{
    ask, site,
    support::{
        database::{Database, Direct},
        on_both_databases,
        site::Site,
    },
};

on_both_databases!(
    no_field_of_a_request_is_taken_for_sql,
    what_is_written_is_what_was_said_and_nothing_else,
);

/// What would do or show something if it were put into a statement as text, in one of the ways of quoting.
const ATTACKS: [&str; 16] = [
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "\" OR 1=1 -- ",
    "` OR 1=1 -- ",
    "'; DROP TABLE twin; -- ",
    "'); DELETE FROM mqtt_acl; -- ",
    "\\'; DELETE FROM mqtt_user; -- ",
    "x' UNION SELECT password, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM mqtt_user -- ",
    "x' AND SLEEP(5) -- ",
    "%",
    "_",
    "h%ll",
    "$all",
    "{{7*7}}${7*7}",
    "%s%n%x",
    "\u{2019} OR \u{2019}1\u{2019}=\u{2019}1",
];

/// Whether it can be an id or a group's name.
fn is_id(attack: &str) -> bool {
    !attack.contains(['/', '+', '#']) && !attack.ends_with(' ')
}

/// All that the tables hold, as text.
fn dump(site: &Site) -> String {
    let mut direct = Direct::to(&site.url);
    let tables = [
        ("twin", "clientId, reported, desired, declined, version, revision"),
        ("mqtt_acl", "id, allow, clientid, username, access, topic"),
        ("mqtt_user", "id, username, password"),
        ("twin_deleted", "clientId, applied_number"),
    ];
    tables.map(|(table, columns)| format!("{table}: {}\n", direct.rows(table, columns))).concat()
}

fn no_field_of_a_request_is_taken_for_sql(database: &Database) {
    let mut site = site(database, "hall", &["lamp"]);
    let user = "INSERT INTO mqtt_user (username, password) VALUES ('lamp', 'secret-of-the-lamp')";
    Direct::to(&site.url).execute(user, user);
    site.report("lamp", &json!({"trn": 1, "text": "plain"}));
    site.twin("lamp");
    let before = dump(&site);
    assert!(before.contains("secret-of-the-lamp") && before.contains("plain"), "{before}");
    for attack in ATTACKS {
        // As an id, and as a group. Neither may hold these.
        if is_id(attack) {
            assert_eq!(site.twin(attack)["version"], 0, "{attack}");
            let answer = ask_thing(&mut site, attack, &json!({"select": ["clientId"]}));
            assert_eq!(answer["res"], json!([]), "{attack}");
            assert_eq!(
                ask(&mut site, attack, "TWIN/GET", &json!({}))["res"],
                json!([]),
                "{attack}"
            );
            let set = json!({"set": {"on": true}, "query": 1});
            let answer = ask(&mut site, attack, "TWIN/SET", &set);
            assert_eq!(answer["error"]["code"], 404, "{attack}: {answer}");
        }
        // As whom a SET is for.
        let set = json!({"set": {"on": true}, "from": [attack], "query": 1});
        let outcome = ask(&mut site, "hall", "TWIN/SET", &set);
        assert_eq!(outcome["set"]["refused"], json!([attack]), "{attack}: {outcome}");
        for (request, wanted) in requests(attack) {
            for answer in [
                ask(&mut site, "hall", "TWIN/GET", &request),
                ask_thing(&mut site, "lamp", &request),
            ] {
                let is_wanted = match &wanted {
                    Wanted::Code(code) => answer["error"]["code"] == *code,
                    Wanted::Rows(rows) => answer["res"] == *rows,
                };
                assert!(is_wanted, "{request} is answered {answer}, not {wanted:?}");
                assert!(!answer.to_string().contains("secret"), "{answer}");
            }
        }
    }
    assert_eq!(dump(&site), before);
}

/// Ids, names, values, marks and response topics are kept and given back as they came.
fn what_is_written_is_what_was_said_and_nothing_else(database: &Database) {
    let mut site = site(database, "hall", &["lamp"]);
    site.report("lamp", &json!({"trn": 1, "text": "plain"}));
    site.twin("lamp");
    let before = dump(&site);
    for attack in ATTACKS {
        let id = if is_id(attack) { attack } else { "thing" };
        site.report(id, &json!({"trn": 1, attack: attack}));
        site.set(id, &json!({attack: [attack], "more": {attack: attack}}));
        let twin = site.twin(id);
        assert_eq!(twin["reported"], json!({"trn": 1, attack: attack}));
        assert_eq!(twin["desired"], json!({"trn": 2, attack: [attack], "more": {attack: attack}}));
        let rows = Direct::to(&site.url).rows("twin", "clientId, reported");
        let row = rows.lines().find_map(|row| row.strip_prefix(id)?.strip_prefix('|'));
        let reported: Value = serde_json::from_str(row.unwrap()).unwrap();
        assert_eq!(reported, json!({"trn": 1, attack: attack}), "as {id} in\n{rows}");
        let mut version = json!({"set": {"n": 1}, "query": {attack: attack}});
        version["version"] = attack.into();
        site.say(id, "TWIN/SET", &version);
        let answer = site.client.expect(&format!("TNG/{id}/TWIN/RES"), crate::PATIENCE).json();
        assert_eq!(
            (&answer["query"], &answer["error"]["code"]),
            (&json!({attack: attack}), &json!(400))
        );
        if !attack.contains(['/', '+', '#']) {
            let (topic, respond) =
                (format!("TNG/{id}/TWIN/GET"), format!("TNG/app/TPC/RES/{attack}"));
            site.client.request(&topic, "{}", &respond, attack.as_bytes());
            assert_eq!(
                site.client.expect(&respond, crate::PATIENCE).json()["version"],
                twin["version"]
            );
        }
        site.say(id, "TWIN/DEL", &json!({"query": attack}));
        let answer = site.client.expect(&format!("TNG/{id}/TWIN/RES"), crate::PATIENCE).json();
        assert_eq!(answer, json!({"query": attack, "deleted": true}));
    }
    let without_deleted = |dump: &str| dump.split("twin_deleted").next().map(str::to_owned);
    assert_eq!(without_deleted(&dump(&site)), without_deleted(&before));
}

#[derive(Debug)]
enum Wanted {
    Code(u16),
    Rows(Value),
}

/// Queries with an attack in each of their fields, and what honest answers to them are.
fn requests(attack: &str) -> Vec<(Value, Wanted)> {
    let place = format!("reported.{}", Value::from(attack));
    let of = |select: Value, condition: Value| json!({"select": select, "where": condition});
    let by = |op: &str, value: Value| {
        of(json!(["clientId"]), json!({"column": "clientId", "op": op, "value": value}))
    };
    let is_all = |text: &str| text.chars().all(|c| c == '%');
    let like = if is_all(attack) { json!([{"clientId": "lamp"}]) } else { json!([]) };
    vec![
        (of(json!([attack]), json!({})), Wanted::Code(422)),
        (of(json!([format!("reported.{attack}.[")]), json!({})), Wanted::Code(422)),
        (of(json!([place]), json!({})), Wanted::Rows(json!([{place.as_str(): null}]))),
        (
            of(json!(["clientId"]), json!({"column": attack, "op": "=", "value": 1})),
            Wanted::Code(422),
        ),
        (
            of(json!(["clientId"]), json!({"column": place, "op": "IS NOT NULL"})),
            Wanted::Rows(json!([])),
        ),
        (by(attack, json!("lamp")), Wanted::Code(422)),
        (by("=", json!(attack)), Wanted::Rows(json!([]))),
        (by("IN", json!([attack])), Wanted::Rows(json!([]))),
        (by("LIKE", json!(attack)), Wanted::Rows(like)),
        (json!({"select": ["clientId"], "as": [attack]}), Wanted::Rows(json!([{attack: "lamp"}]))),
        (json!({"select": ["clientId"], "orient": attack}), Wanted::Code(422)),
    ]
}

/// Asks a thing's twin a query.
fn ask_thing(site: &mut Site, id: &str, request: &Value) -> Value {
    site.client.publish_json(&format!("TNG/{id}/TWIN/GET"), request);
    site.client.expect(&format!("TNG/{id}/TWIN/RES"), crate::PATIENCE).json()
}
