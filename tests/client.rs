//! Applications built with the library, beside a real broker, the built manager, and devices.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    broker::{Broker, broker_without},
    certs::{Authority, Certificate},
    database::{Database, Direct},
    library::{access, device, id, object},
    port::free_port,
    proxy::Proxy,
    site::{PATIENCE, Site},
    wait_for,
};
use twinthing::{
    client::{Ask, Client, ClientError, Secret, Version, block_on},
    device::{Device, Runner},
};

/// How long a thing may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

fn client(port: u16, version: Version) -> Client {
    let mut access = access("app", port);
    access.version = version;
    Client::connect(access).unwrap()
}

/// A manager with these things, all members of the group `all`.
fn site_with(names: &[&str]) -> (Site, Runner, Vec<Device<Value>>) {
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_LATE_WILL", "0")]);
    Direct::to(&site.url).join("all", names);
    let runner = Runner::start("devices").unwrap();
    let port = site.broker.port();
    let devices: Vec<_> = names.iter().map(|name| device(&runner, name, port)).collect();
    for name in names {
        wait_for(&format!("{name} has a twin"), PATIENCE, || {
            (site.twin(name)["version"] == 1).then_some(())
        });
    }
    (site, runner, devices)
}

#[test]
fn a_twin_is_asked_for_set_watched_over_and_forgotten() {
    for version in [Version::V5, Version::V3] {
        let (site, _runner, devices) = site_with(&["lamp"]);
        let client = client(site.broker.port(), version);
        block_on(async {
            let lamp = id("lamp");
            let twin = client.get(&lamp).await.unwrap();
            assert_eq!((twin.version, twin.online), (1, Some(true)));
            assert_eq!(twin.reported, object(json!({"on": false, "level": 1})));
            assert!(!client.get(&id("nobody")).await.unwrap().exists());

            let committed = client.set(&lamp, json!({"on": true})).await.unwrap();
            assert!(committed.version > 1, "{committed:?}");
            let asked = json!({"on": true, "level": 200, "name": "hall"});
            let settled = client.set(&lamp, &asked).settled(ANSWER).await.unwrap();
            assert_eq!(settled.taken, object(json!({"on": true, "name": "hall"})));
            assert_eq!(settled.declined, object(json!({"level": 200})));
            assert!(settled.is_over() && !settled.is_taken());
            let again = client.set(&lamp, json!({"on": true})).settled(ANSWER).await.unwrap();
            assert!(again.is_taken(), "what it is already needs no answer: {again:?}");
            let gone = client.set(&lamp, json!({"name": null})).settled(ANSWER).await.unwrap();
            assert!(gone.is_taken(), "{gone:?}");

            let error = client.set(&lamp, json!({"on": false})).if_version(1).await.unwrap_err();
            assert!(matches!(error, ClientError::Answer { code: 409, .. }), "{error}");
            assert!(error.to_string().starts_with("TWIN/SET of lamp: the twin is at version "));

            devices[0].close().await;
            let span = Duration::from_millis(200);
            let open = client.set(&lamp, json!({"level": 7})).settled(span).await.unwrap();
            assert_eq!((open.open, open.taken.len()), (object(json!({"level": 7})), 0));

            let rows = client.query(&lamp, &Ask::new().select(["reported.on"])).await.unwrap();
            assert_eq!(rows, json!([{"reported.on": true}]));
            let error = client.query(&lamp, &Ask::new().select(["x"])).await.unwrap_err();
            assert!(matches!(error, ClientError::Answer { code: 422, .. }), "{error}");
            assert!(client.delete(&lamp).await.unwrap());
            assert!(!client.delete(&lamp).await.unwrap());
        });
    }
}

#[test]
fn what_somebody_else_asks_for_meanwhile_is_overtaken() {
    let (site, _runner, devices) = site_with(&["lamp"]);
    let client = client(site.broker.port(), Version::V5);
    block_on(async {
        devices[0].close().await;
        let lamp = id("lamp");
        let (one, other) = (client.clone(), client.clone());
        let waiting = one.set(&lamp, json!({"level": 7})).settled(ANSWER);
        let overtaking = async {
            let mut watch = other.watch([lamp.clone()]).await.unwrap();
            while watch.next().await.unwrap().twin.desired.get("level") != Some(&json!(7)) {}
            other.set(&lamp, json!({"level": 8})).await.unwrap();
        };
        let (settled, ()) = tokio::join!(waiting, overtaking);
        assert_eq!(settled.unwrap().overtaken, object(json!({"level": 7})));
    });
}

#[test]
fn many_requests_are_on_their_way_at_once() {
    for version in [Version::V5, Version::V3] {
        let (mut site, _runner, _devices) = site_with(&[]);
        (0..500).for_each(|n| site.report(&format!("t{n}"), &json!({"n": n})));
        let client = client(site.broker.port(), version);
        let system = actix::System::new();
        system.block_on(async {
            let ask = |n: u64| {
                let client = client.clone();
                actix::spawn(async move {
                    let thing = id(&format!("t{n}"));
                    let got = client.get(&thing).await.unwrap();
                    let set = client.set(&thing, json!({"m": n})).await.unwrap();
                    (n, got.reported["n"].clone(), set.desired["m"].clone())
                })
            };
            let asked: Vec<_> = (0..500).map(ask).collect();
            for answer in asked {
                let (n, got, set) = answer.await.unwrap();
                assert_eq!((got, set), (json!(n), json!(n)));
            }
        });
    }
}

#[test]
fn a_group_is_asked_and_set_and_each_member_s_answer_waited_for() {
    for version in [Version::V5, Version::V3] {
        let (site, runner, mut devices) = site_with(&["a", "b", "c"]);
        let client = client(site.broker.port(), version);
        let all = client.group(&"all".parse().unwrap());
        block_on(async {
            assert_eq!(all.members().await.unwrap(), [id("a"), id("b"), id("c")]);
            let only = json!({"column": "clientId", "op": "!=", "value": "b"});
            let ask = Ask::new().select(["clientId"]).orient("values").only(only);
            assert_eq!(all.query(&ask).await.unwrap(), json!([["a"], ["c"]]));
            let outcome = all.set(json!({"on": false})).await.unwrap();
            assert_eq!((outcome.members, outcome.unchanged.len()), (3, 3));

            devices.pop().unwrap().close().await;
            let mut steps = Vec::new();
            let progress = |over, of| steps.push((over, of));
            let span = Duration::from_millis(700);
            let settled = all.set(json!({"on": true, "level": 101})).settled(span, progress);
            let settled = settled.await.unwrap();
            assert_eq!(steps.last(), Some(&(2, 3)), "{steps:?}");
            assert_eq!(settled.open().collect::<Vec<_>>(), [&id("c")]);
            for name in ["a", "b"] {
                let thing = &settled.things[&id(name)];
                assert_eq!(thing.taken, object(json!({"on": true})));
                assert_eq!(thing.declined, object(json!({"level": 101})));
            }
            devices.push(device(&runner, "c", site.broker.port()));
            let some = [id("a"), id("stranger")];
            let settled = all.set(json!({"level": 50})).from(some).settled(ANSWER, |_, _| {});
            let settled = settled.await.unwrap();
            assert_eq!(settled.outcome.refused, BTreeSet::from(["stranger".to_owned()]));
            assert_eq!(settled.things.len(), 1);
            assert!(settled.things[&id("a")].is_taken());
            let nobody = client.group(&"nobody".parse().unwrap());
            assert_eq!(nobody.members().await.unwrap(), []);
            let error = nobody.set(json!({"x": 1})).await.unwrap_err();
            assert!(matches!(error, ClientError::Answer { code: 404, .. }), "{error}");
        });
    }
}

#[test]
fn a_member_without_a_twin_is_provisioned_and_waited_for() {
    let (site, runner, _devices) = site_with(&["a"]);
    Direct::to(&site.url).join("all", &["new"]);
    let client = client(site.broker.port(), Version::V5);
    let all = client.group(&"all".parse().unwrap());
    let settled = block_on(async {
        let mut is_first = true;
        let mut started = None;
        let progress = |over, _| {
            // As soon as the other one has answered, it comes to be.
            if over == 1 && std::mem::take(&mut is_first) {
                started = Some(
                    Device::build(access("new", site.broker.port()), json!({"on": false}))
                        .start_on(&runner)
                        .unwrap(),
                );
            }
        };
        all.set(json!({"on": true})).settled(ANSWER, progress).await.unwrap()
    });
    assert_eq!(settled.things.len(), 2);
    assert_eq!(settled.open().count(), 0, "{settled:?}");
}

#[test]
fn changes_of_twins_are_a_stream() {
    let (mut site, _runner, devices) = site_with(&["lamp", "other"]);
    let client = client(site.broker.port(), Version::V5);
    block_on(async {
        let lamp = id("lamp");
        let mut watch = client.watch([lamp.clone()]).await.unwrap();
        watch.know(lamp.clone(), client.get(&lamp).await.unwrap());
        devices[1].update(|state| state["level"] = json!(9)).unwrap();
        // Somebody asks for it: that is no change.
        site.twin("lamp");
        client.set(&lamp, json!({"on": true})).await.unwrap();
        let asked = watch.next().await.unwrap();
        assert_eq!((asked.id, asked.desired), (lamp.clone(), object(json!({"on": true}))));
        let taken = watch.next().await.unwrap();
        assert_eq!(taken.reported, object(json!({"on": true})));
        assert_eq!(taken.desired, object(json!({"on": null})));
        assert_eq!(taken.online, None);
        devices[0].close().await;
        let gone = watch.next().await.unwrap();
        assert_eq!((gone.online, gone.reported.len()), (Some(Some(false)), 0));
        let mut all = client.watch_all().await.unwrap();
        devices[1].update(|state| state["level"] = json!(10)).unwrap();
        let changed = all.next().await.unwrap();
        assert_eq!((changed.id, changed.reported), (id("other"), object(json!({"level": 10}))));
    });
}

#[test]
fn what_changed_while_the_connection_was_lost_is_told_when_it_is_back() {
    // By MQTT 3.1.1 the broker keeps nothing for it; by MQTT 5 for a moment.
    for version in [Version::V5, Version::V3] {
        changes_are_told_when_the_connection_is_back(version);
    }
}

fn changes_are_told_when_the_connection_is_back(version: Version) {
    let (mut site, _runner, _devices) = site_with(&["lamp", "other"]);
    let proxy = Proxy::start(site.broker.port());
    let client = client(proxy.port(), version);
    let (lamp, other) = (id("lamp"), id("other"));
    block_on(async {
        let mut named = client.watch([lamp.clone()]).await.unwrap();
        named.know(lamp.clone(), client.get(&lamp).await.unwrap());
        let mut all = client.watch_all().await.unwrap();
        all.know(other.clone(), client.get(&other).await.unwrap());
        proxy.cut();
        for thing in ["lamp", "other"] {
            site.report(thing, &json!({"on": false, "level": 1, "meanwhile": 1}));
            assert_eq!(site.twin(thing)["reported"]["meanwhile"], 1);
        }
        proxy.mend();
        let expected = object(json!({"meanwhile": 1}));
        let told = named.next().await.unwrap();
        assert_eq!((told.id, told.reported), (lamp, expected.clone()));
        loop {
            let told = all.next().await.unwrap();
            if told.id == other {
                assert_eq!(told.reported, expected);
                break;
            }
        }
    });
}

#[test]
fn what_must_not_be_done_twice_is_in_doubt_when_the_connection_breaks() {
    let (mut site, _runner, _devices) = site_with(&["lamp"]);
    let proxy = Proxy::start(site.broker.port());
    let client = client(proxy.port(), Version::V5);
    let lamp = id("lamp");
    block_on(client.connected()).unwrap();
    // It is with the broker, and the broker's word that it is does not come back.
    proxy.hold_answers();
    let (asking, of) = (client.clone(), lamp.clone());
    let asked = thread::spawn(move || {
        block_on(async { asking.set(&of, json!({"on": true})).if_version(1).await })
    });
    wait_for("it is done", PATIENCE, || {
        (site.twin("lamp")["reported"]["on"] == true).then_some(())
    });
    proxy.cut();
    proxy.let_go();
    let error = asked.join().unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Unsure { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the connection was lost before TWIN/SET of lamp was answered: it may have been done; look at the twin"
    );
    proxy.mend();
    assert!(block_on(client.get(&lamp)).unwrap().version >= 1);
    assert_eq!(site.twin("lamp")["online"], true);
}

#[test]
fn a_twin_that_is_forgotten_is_told_of_and_so_is_the_one_that_follows_it() {
    let (mut site, _runner, devices) = site_with(&["lamp"]);
    let client = client(site.broker.port(), Version::V5);
    block_on(async {
        let lamp = id("lamp");
        let mut watch = client.watch([lamp.clone()]).await.unwrap();
        for level in 2..5 {
            devices[0].update(|state| state["level"] = json!(level)).unwrap();
            assert_eq!(watch.next().await.unwrap().reported["level"], level);
        }
        assert!(client.delete(&lamp).await.unwrap());
        let forgotten = watch.next().await.unwrap();
        assert!(!forgotten.twin.exists(), "{forgotten:?}");
        assert_eq!(forgotten.reported["level"], Value::Null);
        site.report("lamp", &json!({"level": 1, "on": false}));
        let anew = watch.next().await.unwrap();
        assert_eq!((anew.twin.version, anew.reported["level"].clone()), (1, json!(1)));
        // It is set over as any other.
        let settled = client.set(&lamp, json!({"on": true})).settled(ANSWER).await.unwrap();
        assert!(settled.is_taken(), "{settled:?}");
    });
}

#[test]
fn nobody_is_asked_where_nobody_is_named_and_who_has_nothing_to_do_is_not_waited_for() {
    let (site, _runner, _devices) = site_with(&["a"]);
    Direct::to(&site.url).join("all", &["new"]);
    let client = client(site.broker.port(), Version::V5);
    let all = client.group(&"all".parse().unwrap());
    block_on(async {
        let outcome = all.set(json!({"on": true})).from([]).await.unwrap();
        assert_eq!((outcome.members, outcome.changed.len()), (0, 0));
        assert_eq!(client.get(&id("a")).await.unwrap().version, 1);
        let from = Instant::now();
        let settled =
            all.set(json!({"gone": null})).settled(PATIENCE * 10, |_, _| {}).await.unwrap();
        assert!(from.elapsed() < PATIENCE, "it waits for whom nothing is asked of");
        assert_eq!((settled.things.len(), settled.open().count()), (2, 0), "{settled:?}");
        let error = all.set(json!({"on": true})).if_version(9).await.unwrap();
        assert_eq!(error.refused, BTreeSet::from(["a".to_owned(), "new".to_owned()]));
    });
}

#[test]
fn what_is_no_filter_or_topic_is_said_and_harms_nobody() {
    let broker = Broker::start();
    let client = client(broker.port(), Version::V5);
    block_on(async {
        for (filter, why) in [
            (
                "a/#/b",
                "\"a/#/b\" is no MQTT filter: + is a whole level, # the whole last one, and all of it 1 to 65535 bytes",
            ),
            ("a\0", "the subscription holds a NUL character, which MQTT does not carry"),
        ] {
            let error = client.listen(vec![filter.to_owned()]).await.unwrap_err();
            assert_eq!(error.to_string(), why);
        }
        for filter in ["", "a+", "#a"] {
            assert!(client.listen(vec![filter.to_owned()]).await.is_err(), "{filter:?}");
        }
        for topic in ["", "a/+", "a\0", "#"] {
            assert!(client.publish(topic, "x").await.is_err(), "{topic:?}");
        }
        // One's own answers may be listened to, and are heard still when that is over.
        let own = client.listen(vec!["TNG/app/TPC/RES/TWIN".to_owned()]).await.unwrap();
        drop(own);
        let mut listener = client.listen(vec!["x".to_owned(), "x/+".to_owned()]).await.unwrap();
        client.publish("x/1", "1").await.unwrap();
        assert_eq!(listener.next().await.unwrap().topic, "x/1");
        client.close().await;
        let error = client.publish("x/1", "1").await.unwrap_err();
        assert_eq!(error.to_string(), "the client is closed");
    });
}

#[test]
fn what_was_asked_when_the_connection_broke_is_answered_when_it_is_back() {
    for version in [Version::V5, Version::V3] {
        let (mut site, _runner, _devices) = site_with(&["lamp"]);
        let proxy = Proxy::start(site.broker.port());
        let client = client(proxy.port(), version).with_patience(Duration::from_secs(30));
        let lamp = id("lamp");
        // By MQTT 3.1.1 nothing is asked before its answer can be heard: here that has been granted.
        let answers = vec!["TNG/lamp/TWIN/RES".to_owned()];
        let _listener = block_on(client.listen(answers)).unwrap();
        // All that is asked is done, and nobody hears of it; then the connection breaks.
        proxy.hold_answers();
        let asked = (0..20_u64).map(|n| {
            let (client, lamp) = (client.clone(), lamp.clone());
            thread::spawn(move || {
                let member = format!("m{n}");
                let asked = json!({member.as_str(): n});
                let twin = block_on(async { client.set(&lamp, asked).await }).unwrap();
                let known = twin.desired.get(&member).or(twin.reported.get(&member));
                assert_eq!(known, Some(&json!(n)));
                block_on(client.get(&lamp)).unwrap()
            })
        });
        let asked: Vec<_> = asked.collect();
        wait_for("all is done", PATIENCE, || {
            let twin = site.twin("lamp");
            (0..20_u64).all(|n| twin["reported"][format!("m{n}")] == n).then_some(())
        });
        proxy.cut();
        proxy.let_go();
        proxy.mend();
        for answer in asked {
            assert_eq!(answer.join().unwrap().reported["m7"], json!(7));
        }
    }
}

#[test]
fn who_does_not_answer_is_named_with_what_is_known_of_the_reason() {
    let short = Duration::from_millis(300);
    let broker = Broker::start();
    let client_at = |port| client(port, Version::V5).with_patience(short);
    let lamp = id("lamp");
    let client = client_at(broker.port());
    block_on(client.connected()).unwrap();
    let from = Instant::now();
    let error = block_on(client.get(&lamp)).unwrap_err().to_string();
    assert!(from.elapsed() >= short);
    assert_eq!(
        error,
        "no answer to TWIN/GET of lamp within 0.3 s: is a manager at work there, by MQTT 5 as well, and may it answer?"
    );
    let nowhere = free_port();
    let client = client_at(nowhere).with_patience(Duration::from_secs(2));
    let error = block_on(async { client.set(&lamp, json!({"on": true})).await }).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no answer to TWIN/SET of lamp within 2 s: broker 127.0.0.1:{nowhere} is not reached: Connection refused \
             (os error 111); check MQTT_HOST, MQTT_PORT and that the broker runs"
        )
    );
    let offline = block_on(client.connected()).unwrap_err();
    assert!(matches!(offline, ClientError::Offline(_)), "{offline}");
    let error = block_on(async { client.set(&lamp, 5).await }).unwrap_err();
    assert_eq!(error.to_string(), "what is asked is no JSON object: 5");
    block_on(client.close());
    let error = block_on(client.get(&lamp)).unwrap_err();
    assert_eq!(error.to_string(), "the client is closed");
}

#[test]
fn things_and_applications_connect_with_password_and_tls() {
    let mut broker = Broker::start_guarded(&[("lamp", "secret"), ("app", "word")]);
    broker.stop();
    let ca = Authority::new(broker.folder(), "ca");
    let Certificate { cert, key } = ca.issue("good", "IP:127.0.0.1", 2);
    let (cert, key) = (cert.display(), key.display());
    let users = "allow_anonymous false\npassword_file {folder}/passwords";
    broker.configure(&format!("certfile {cert}\nkeyfile {key}\n{users}"));
    broker.run();
    let access = |name: &str, password: &str| {
        let mut access = access(name, broker.port());
        access.user = Some(name.to_owned());
        access.password = Some(Secret(password.to_owned()));
        access.ca_file = Some(ca.pem());
        access
    };
    for version in [Version::V5, Version::V3] {
        let (mut of_lamp, mut of_app) = (access("lamp", "secret"), access("app", "word"));
        (of_lamp.version, of_app.version) = (version, version);
        let client = Client::connect(of_app).unwrap();
        block_on(async {
            let mut heard = client.listen(vec!["TNG/lamp/#".to_owned()]).await.unwrap();
            let lamp = Device::build(of_lamp, json!({"on": false})).start().unwrap();
            assert_eq!(heard.next().await.unwrap().topic, "TNG/lamp/LC/ON");
            lamp.close().await;
            assert_eq!(heard.next().await.unwrap().topic, "TNG/lamp/LC/OFF");
        });
    }
    let client = Client::connect(access("app", "wrong")).unwrap();
    let error = block_on(client.connected()).unwrap_err();
    let line = format!(
        "broker 127.0.0.1:{} refused user \"app\": not authorized; check MQTT_USER and MQTT_PASSWD",
        broker.port()
    );
    assert!(matches!(&error, ClientError::Refused(why) if *why == line), "{error}");
}

#[test]
fn what_the_broker_does_not_allow_is_said() {
    let mut broker = Broker::start();
    broker.stop();
    let rules = "topic read TNG/app/TPC/RES/#\ntopic readwrite ok/#\n";
    std::fs::write(broker.folder().join("acl"), rules).unwrap();
    broker.configure("acl_file {folder}/acl");
    broker.run();
    let client = client(broker.port(), Version::V5);
    let error = block_on(client.get(&id("lamp"))).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "broker 127.0.0.1:{} refused a publish to TNG/lamp/TWIN/GET: not authorized; client \"app\" without a user \
             name must be allowed to publish to it",
            broker.port()
        )
    );
    block_on(async {
        let mut listener = client.listen(vec!["ok/#".to_owned()]).await.unwrap();
        client.publish("ok/1", "x").await.unwrap();
        assert_eq!(listener.next().await.unwrap().payload, b"x");
        client.close().await;
    });
}

#[test]
fn who_may_not_hear_answers_is_not_left_waiting_for_one() {
    let broker = broker_without("TNG/#");
    let client = client(broker.port(), Version::V5);
    block_on(async {
        let error = client.get(&id("lamp")).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Refused(line) if line.contains("TNG/app/TPC/RES/TWIN")),
            "{error}"
        );
        // Each time anew: one who was refused does not stand in the way of the next.
        for _ in 0..2 {
            let error = client.watch([id("lamp")]).await.unwrap_err();
            assert!(
                matches!(&error, ClientError::Refused(line) if line.contains("TNG/lamp/TWIN/UPD")),
                "{error}"
            );
        }
    });
}
