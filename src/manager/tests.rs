//! The service without broker and database: what it does when an actor ends, which nothing outside can bring about.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::{
    mqtt::{About, Acked, Arrived, Destination, Link},
    store::{Applied, Committed, Loaded, Members, Unsettled},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the actor that gets it panic where nothing catches that.
#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Handler<End> for twin_actor::TwinActor {
    type Result = ();

    fn handle(&mut self, End: End, _: &mut Context<Self>) {
        panic!("the end of an actor, as the test wants it");
    }
}

/// Has a thing's actor end, and waits until it has.
#[derive(Message)]
#[rtype(result = "()")]
struct EndOf(ThingId);

impl Handler<EndOf> for Router {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, EndOf(id): EndOf, _: &mut Context<Self>) -> Self::Result {
        let actor = self.things.get(&id).unwrap().actor.clone();
        actor.do_send(End);
        Box::pin(async move {
            while actor.connected() {
                tokio::task::yield_now().await;
            }
        })
    }
}

impl Handler<End> for group_actor::GroupActor {
    type Result = ();

    fn handle(&mut self, End: End, _: &mut Context<Self>) {
        panic!("the end of an actor, as the test wants it");
    }
}

/// Has the actor of groups end, and waits until it has.
#[derive(Message)]
#[rtype(result = "()")]
struct EndOfGroups;

impl Handler<EndOfGroups> for Router {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, EndOfGroups: EndOfGroups, ctx: &mut Context<Self>) -> Self::Result {
        let actor = self.group_actor(ctx);
        actor.do_send(End);
        Box::pin(async move {
            while actor.connected() {
                tokio::task::yield_now().await;
            }
        })
    }
}

/// What all the others were told, in order, in words.
type Heard = Rc<RefCell<VecDeque<String>>>;

/// The bridge and the store: write down what they are told. Commits are answered when the test says so.
struct Others {
    heard: Heard,
    commits: Vec<Commit>,
    answers: bool,
}

impl Actor for Others {
    type Context = Context<Self>;
}

/// Whether commits are answered from now on.
#[derive(Message)]
#[rtype(result = "()")]
struct Answer(bool);

impl Others {
    fn hear(&self, words: String) {
        self.heard.borrow_mut().push_back(words);
    }

    fn answer(&mut self) {
        for Commit { id, revision, reply, .. } in self.commits.drain(..) {
            reply.do_send(Committed { id, revision, refused: None });
        }
    }
}

macro_rules! hears {
    ($($message:ty: |$heard:pat_param| $words:expr),* $(,)?) => {$(
        impl Handler<$message> for Others {
            type Result = ();

            fn handle(&mut self, $heard: $message, _: &mut Context<Self>) {
                self.hear($words);
            }
        }
    )*};
}

hears! {
    Publish: |publish| {
        let Destination::Topic(topic) = publish.to else { panic!("no client named another topic") };
        let about = match publish.about {
            Some(About::Thing { generation, .. }) => generation,
            Some(About::Query(_)) | None => 0,
        };
        format!("{topic} of {:?} by actor {about}", publish.entry)
    },
    Done: |Done(number)| format!("done {number}"),
    Poison: |poison| format!("poison {}: {}", poison.number, poison.reason),
    Parked: |Parked(number)| format!("parked {number}"),
    HandOnAgain: |HandOnAgain(numbers)| format!("again {numbers:?}"),
    Told: |told| format!("told {}", told.id),
    ForgetBefore: |_| "forget".to_owned(),
    SaveSession: |_| "session".to_owned(),
    Select: |_| "select".to_owned(),
    AsksFirst: |_| "asks first".to_owned(),
}

/// Two are in every group.
impl Handler<ListMembers> for Others {
    type Result = ();

    fn handle(&mut self, list: ListMembers, _: &mut Context<Self>) {
        self.hear(format!("members of {}", list.group));
        let members = ["a", "other"].map(|id| id.parse().unwrap());
        let ListMembers { ticket, group, reply, .. } = list;
        let (members, skipped) = (Ok(Arc::from(members)), Vec::new());
        reply.do_send(Members { ticket, group, members, skipped, of_everybody: None });
    }
}

impl Handler<Load> for Others {
    type Result = ();

    fn handle(&mut self, load: Load, _: &mut Context<Self>) {
        self.hear(format!("load{}", if load.after_commits { " after commits" } else { "" }));
        load.reply.do_send(Loaded { id: load.id, row: None, deleted: None });
    }
}

impl Handler<Commit> for Others {
    type Result = ();

    fn handle(&mut self, commit: Commit, _: &mut Context<Self>) {
        assert_ne!(commit.applied, Applied::default());
        self.commits.push(commit);
        if self.answers {
            self.answer();
        }
    }
}

impl Handler<Answer> for Others {
    type Result = ();

    fn handle(&mut self, Answer(answers): Answer, _: &mut Context<Self>) {
        self.answers = answers;
        if answers {
            self.answer();
        }
    }
}

impl Handler<ListUnsettled> for Others {
    type Result = ();

    fn handle(&mut self, list: ListUnsettled, _: &mut Context<Self>) {
        list.reply.do_send(Unsettled(Vec::new()));
    }
}

impl Handler<Count> for Others {
    type Result = crate::mqtt::Counters;

    fn handle(&mut self, Count: Count, _: &mut Context<Self>) -> Self::Result {
        crate::mqtt::Counters::default()
    }
}

impl Handler<store::Count> for Others {
    type Result = store::Counters;

    fn handle(&mut self, store::Count: store::Count, _: &mut Context<Self>) -> Self::Result {
        store::Counters::default()
    }
}

/// A service with nobody beside it.
struct World {
    router: Addr<Router>,
    others: Addr<Others>,
    heard: Heard,
}

impl World {
    fn new() -> Self {
        let heard = Heard::default();
        let others =
            Others { heard: Rc::clone(&heard), commits: Vec::new(), answers: true }.start();
        let peers = Peers {
            load: others.clone().recipient(),
            commit: others.clone().recipient(),
            unsettled: others.clone().recipient(),
            members: others.clone().recipient(),
            select: others.clone().recipient(),
            session: others.clone().recipient(),
            publish: others.clone().recipient(),
            done: others.clone().recipient(),
            poison: others.clone().recipient(),
            parked: others.clone().recipient(),
            again: others.clone().recipient(),
            told: others.clone().recipient(),
            forget: others.clone().recipient(),
            count: others.clone().recipient(),
            count_commits: others.clone().recipient(),
            asks_first: others.clone().recipient(),
        };
        let settings = ManagerSettings {
            id: "twinmgr".parse().unwrap(),
            rules: Rules::default(),
            payload_limit: 1000,
            idle: Duration::from_secs(600),
            cache: 1000,
            restores: 10,
            thing_rate: 1000,
            retry_rate: 1000,
            stats: Duration::from_secs(3600),
            epoch: 1,
            untold: Vec::new(),
            things: 0,
            apply: Twin::apply,
        };
        let router = Router::new(settings, peers).start();
        router.do_send(Link::Up { session: 1, maximum_packet: None });
        Self { router, others, heard }
    }

    /// A SET of the thing comes in under this number, for the first time or again.
    fn set(&self, number: u64) {
        self.router.do_send(Arrived {
            place: Place { epoch: 1, number },
            topic: "TNG/a/TWIN/SET".parse().unwrap(),
            payload: format!(r#"{{"set":{{"n":{number}}}}}"#).into_bytes().into(),
            respond: None,
            at: Timestamp(0),
            session: 1,
        });
    }

    /// A SET of a group in which the thing is with another one.
    fn set_group(&self, number: u64) {
        self.router.do_send(Arrived {
            place: Place { epoch: 1, number },
            topic: "GRP/g/TWIN/SET".parse().unwrap(),
            payload: format!(r#"{{"set":{{"n":{number}}}}}"#).into_bytes().into(),
            respond: None,
            at: Timestamp(0),
            session: 1,
        });
    }

    /// A query of that group.
    fn get_group(&self, number: u64) {
        self.router.do_send(Arrived {
            place: Place { epoch: 1, number },
            topic: "GRP/g/TWIN/GET".parse().unwrap(),
            payload: Arc::new([]),
            respond: None,
            at: Timestamp(0),
            session: 1,
        });
    }

    async fn end_the_actor(&self) {
        self.router.send(EndOf("a".parse().unwrap())).await.unwrap();
    }

    async fn commits_are_answered(&self, answers: bool) {
        self.others.send(Answer(answers)).await.unwrap();
    }

    /// The next things that the others are told, but for what the manager says of itself.
    async fn next<const N: usize>(&self) -> [String; N] {
        let mut words = Vec::new();
        while words.len() < N {
            let next = async {
                loop {
                    if let Some(next) = self.heard.borrow_mut().pop_front() {
                        return next;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let next = timeout(PATIENCE, next).await;
            let next = next.unwrap_or_else(|_| panic!("nothing comes after {words:?}"));
            if next != "session" && !next.starts_with("TNG/twinmgr/") {
                words.push(next);
            }
        }
        words.try_into().unwrap()
    }

    fn acked(&self, generation: u64) {
        self.router.do_send(Acked(About::Thing { id: "a".parse().unwrap(), generation }));
    }
}

#[actix::test]
async fn what_an_actor_had_when_it_ended_is_done_by_another_in_order() {
    let world = World::new();
    world.commits_are_answered(false).await;
    (1..3).for_each(|number| world.set(number));
    assert_eq!(world.next().await, ["load"]);
    world.end_the_actor().await;
    // The end is noticed by the third; the fourth waits until those before it have come again.
    (3..5).for_each(|number| world.set(number));
    assert_eq!(world.next().await, ["again [1, 2, 3]"]);
    (1..4).for_each(|number| world.set(number));
    world.commits_are_answered(true).await;
    assert_eq!(world.next().await, ["load after commits"]);
    assert_eq!(
        world.next().await,
        [
            "TNG/a/TWIN/UPD of Some(1) by actor 3",
            "TNG/a/TWIN/UPD of Some(2) by actor 3",
            "TNG/a/TWIN/UPD of Some(3) by actor 3",
            "TNG/a/TWIN/UPD of Some(4) by actor 3",
            "done 1",
            "done 2",
            "done 3",
            "done 4",
        ]
    );
    // What the broker acknowledges of the first actor's says nothing of the second one's.
    (0..4).for_each(|_| world.acked(1));
    (0..3).for_each(|_| world.acked(3));
    world.set(5);
    assert_eq!(world.next().await, ["TNG/a/TWIN/UPD of Some(5) by actor 3", "done 5"]);
    (0..2).for_each(|_| world.acked(3));
    assert_eq!(world.next().await, ["told a"]);
}

#[actix::test]
async fn the_end_of_an_actor_is_noticed_though_nothing_new_comes() {
    let world = World::new();
    world.commits_are_answered(false).await;
    world.set(1);
    assert_eq!(world.next().await, ["load"]);
    world.end_the_actor().await;
    assert_eq!(world.next().await, ["again [1]"]);
}

#[actix::test]
async fn what_two_actors_ended_with_is_set_aside_and_the_next_goes_on() {
    let world = World::new();
    world.commits_are_answered(false).await;
    world.set(1);
    assert_eq!(world.next().await, ["load"]);
    world.end_the_actor().await;
    world.set(2);
    assert_eq!(world.next().await, ["again [1, 2]"]);
    world.set(1);
    assert_eq!(world.next().await, ["load after commits"]);
    world.end_the_actor().await;
    world.set(3);
    world.set(2);
    let reason = "the actor of its thing has ended twice";
    // The second never reached an actor that ended: it was on its way again.
    let aside = [1, 3].map(|number| format!("poison {number}: {reason}"));
    assert_eq!(world.next().await, aside);
    world.commits_are_answered(true).await;
    assert_eq!(
        world.next().await,
        ["load after commits", "TNG/a/TWIN/UPD of Some(2) by actor 4", "done 2"]
    );
}

#[actix::test]
async fn a_groups_set_that_an_actor_had_when_it_ended_is_taken_by_another_in_its_place() {
    let world = World::new();
    world.commits_are_answered(false).await;
    world.set(1);
    world.set_group(2);
    assert_eq!(world.next().await, ["load", "members of g", "parked 2", "load"]);
    // Both members have it by now.
    world.set(3);
    world.end_the_actor().await;
    world.set(4);
    assert_eq!(world.next().await, ["again [1, 3, 4]"]);
    world.commits_are_answered(true).await;
    [1, 3, 4].into_iter().for_each(|number| world.set(number));
    let mut words = world.next::<10>().await.to_vec();
    words.retain(|word| word != "TNG/other/TWIN/UPD of Some(2) by actor 3");
    assert_eq!(
        words,
        [
            "load after commits",
            "TNG/a/TWIN/UPD of Some(1) by actor 5",
            "TNG/a/TWIN/UPD of Some(2) by actor 5",
            "TNG/a/TWIN/UPD of Some(3) by actor 5",
            "TNG/a/TWIN/UPD of Some(4) by actor 5",
            "done 1",
            "done 2",
            "done 3",
            "done 4",
        ]
    );
}

#[actix::test]
async fn the_end_of_the_actor_of_groups_costs_its_queries_and_no_set() {
    let world = World::new();
    world.get_group(1);
    assert_eq!(world.next().await, ["parked 1", "members of g", "select"]);
    world.router.send(EndOfGroups).await.unwrap();
    assert_eq!(world.next().await, ["GRP/g/TWIN/RES of Some(1) by actor 0", "done 1"]);
    world.set_group(2);
    let words = world.next::<7>().await;
    assert_eq!(words[..2], ["members of g", "parked 2"]);
    assert!(words.contains(&"done 2".to_owned()), "{words:?}");
}

#[actix::test]
async fn sets_that_wait_for_a_member_whose_actor_has_ended_are_taken_in_order_behind_what_it_had() {
    let world = World::new();
    world.commits_are_answered(false).await;
    world.set(1);
    assert_eq!(world.next().await, ["load"]);
    // Both are placed, and none is taken, in the very turn in which the end is found.
    world.end_the_actor().await;
    world.set_group(2);
    world.set_group(3);
    world.set(4);
    assert_eq!(world.next().await, ["members of g", "parked 2", "again [1]"]);
    world.commits_are_answered(true).await;
    world.set(1);
    let mut words = Vec::new();
    while words.len() < 4 {
        words.extend(world.next::<1>().await.into_iter().filter(|word| word.starts_with("TNG/a/")));
    }
    let of = |number: u64| format!("TNG/a/TWIN/UPD of Some({number}) by actor");
    for (word, number) in words.iter().zip(1..) {
        assert!(word.starts_with(&of(number)), "{words:?}");
    }
}
